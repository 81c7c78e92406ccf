"""Models of the databases of a service, one for each engine."""

import os
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from specs.secret import Password
from specs.section import Section
from specs.values import Container, LocalPath, refusal
from stages.source.roots import distinct


def check_database(text: str) -> str:
    """Accept the name of a database.

    Raises:
        PydanticCustomError: No server has such a name.
    """
    if not text or "\0" in text or len(text.encode()) > 64:  # noqa: PLR2004
        raise refusal("not a database's name", "write it as the server lists it")
    return text


DatabaseName = Annotated[str, AfterValidator(check_database), Field(examples=["app"])]


class ServerSection(Section):
    """A database server in a container."""

    container: Container
    """The container that runs it."""
    user: str | None = Field(None, min_length=1)
    """Its user for dumps; by default as the container's environment says."""
    password: Password | None = None
    """The password of that user; by default as the container's environment says."""


class SqlSection(ServerSection):
    """A server with several databases."""

    databases: tuple[DatabaseName, ...] = ()
    """Databases to dump; by default all."""


class SqliteSection(Section):
    """A database in a file."""

    path: LocalPath
    """The file."""


class DatabaseEntry(Section):
    """One database server, or one file, whose content is dumped without downtime."""

    postgres: SqlSection | None = None
    """PostgreSQL, by pg_dump."""
    mariadb: SqlSection | None = None
    """MariaDB, by mariadb-dump."""
    mysql: SqlSection | None = None
    """MySQL, by mysqldump."""
    redis: ServerSection | None = None
    """Redis, by redis-cli."""
    valkey: ServerSection | None = None
    """Valkey, by valkey-cli."""
    sqlite: SqliteSection | None = None
    """SQLite, by its backup API."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or not self.engine[1]:
            raise refusal("needs one engine", "write for example postgres: {container: db}")
        return self

    @property
    def engine(self) -> tuple[str, Any]:
        """The name of the engine, and its section."""
        [kind, *_] = self.model_fields_set or {"postgres"}
        return kind, getattr(self, kind)

    @property
    def container(self) -> str:
        """The container of the server; empty for a file."""
        return getattr(self.engine[1], "container", "")

    @property
    def stops(self) -> bool:
        """The server loads a dump only when it starts."""
        return self.engine[0] in ("redis", "valkey")

    @property
    def source(self) -> str:
        """Container of the server, or path of the SQLite file."""
        return self.container or str(self.engine[1].path)


def parameters(entries: Sequence[DatabaseEntry], host: str | None) -> list[dict[str, Any]]:
    """Return the parameters of the stages that dump or load databases."""
    labels = [f"{one.engine[0]}-{os.path.basename(one.source)}" for one in entries]
    found = []
    for label, one in zip(distinct(labels, [e.source for e in entries]), entries, strict=True):
        kind, section = one.engine
        params = {"kind": kind, "label": label} | section.model_dump(
            mode="json", exclude_defaults=True
        )
        found.append(params | ({"host": host} if host and one.container else {}))
    return found
