"""Every engine whose databases can be dumped."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.databases.mariadb import MariaDB
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis
from stages.databases.sqlite import SQLite

AnyDatabase = Annotated[Postgres | MariaDB | Redis | SQLite, Field(discriminator="kind")]
