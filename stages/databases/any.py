"""Every engine whose databases can be dumped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stages.databases.mariadb import MariaDB
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis
from stages.databases.sqlite import SQLite

if TYPE_CHECKING:
    from stages.databases.base import Server

AnyDatabase = Annotated[Postgres | MariaDB | Redis | SQLite, Field(discriminator="kind")]


def engine_of(where: str) -> type[Server] | None:
    """Return the engine of a server that was described so, None for a file."""
    engines: tuple[type[Server], ...] = (Postgres, MariaDB, Redis)
    return next((one for one in engines if where.startswith(f"{one.title} in ")), None)
