"""Database engines in containers, recognized by image, command and names of variables."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import Struct

from stages.databases.mariadb import MariaDB
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis

if TYPE_CHECKING:
    from stages.service.inventory import ContainerEntry


class Engine(Struct, frozen=True):
    """Database engine, and how its containers look."""

    name: str
    """For people."""
    key: str
    """The key below `databases:`; empty if packrat has no dump for it."""
    words: tuple[str, ...]
    """Words of the image's name, of which one is there."""
    programs: tuple[str, ...]
    """Or the program that the container runs."""
    variables: tuple[str, ...]
    """Or the beginnings of variables, together with a mount at one of `folders`."""
    folders: tuple[str, ...]
    """Where the server keeps its files, as the stage that dumps it says."""


ENGINES = (
    Engine(
        "PostgreSQL",
        "postgres",
        (
            "postgres",
            "postgresql",
            "postgis",
            "timescaledb",
            "pgvector",
            "pgvecto",
            "pgautoupgrade",
        ),
        ("postgres",),
        ("POSTGRES_", "PGDATA"),
        Postgres.data_folders,
    ),
    Engine(
        "MariaDB",
        "mariadb",
        ("mariadb",),
        ("mariadbd", "mariadbd-safe"),
        ("MARIADB_",),
        MariaDB.data_folders,
    ),
    Engine(
        "MySQL",
        "mysql",
        ("mysql", "percona"),
        ("mysqld", "mysqld_safe"),
        ("MYSQL_",),
        MariaDB.data_folders,
    ),
    Engine(
        "Redis",
        "redis",
        ("redis",),
        ("redis-server",),
        ("REDIS_",),
        Redis.data_folders,
    ),
    Engine(
        "Valkey",
        "valkey",
        ("valkey",),
        ("valkey-server",),
        ("VALKEY_",),
        Redis.data_folders,
    ),
    Engine(
        "MongoDB",
        "",
        ("mongo", "mongodb"),
        ("mongod",),
        ("MONGO_INITDB_",),
        ("/data/db", "/bitnami/mongodb"),
    ),
)
CLIENTS = {"exporter", "admin", "pgadmin", "phpmyadmin", "commander", "insight", "redisinsight",
           "backup", "express", "pgbouncer", "sentinel"}  # fmt: skip
"""Words of images that only use a database."""


def engine_of(container: ContainerEntry) -> Engine | None:
    """Return the database engine that a container runs, None for another program.

    An official image runs its server through an entry point, so the image's name counts first.
    `phpmyadmin` has the variables of a server, so they count only with the server's folder.
    """
    words = _words(container.image)
    programs = {os.path.basename(word) for word in container.command[:3]}
    for engine in ENGINES:
        if programs & set(engine.programs):
            return engine
        if words & CLIENTS:
            continue
        mounted = any(is_data_folder(engine, mount.destination) for mount in container.mounts)
        named = any(name.startswith(engine.variables) for name in container.environment)
        if words & set(engine.words) or (mounted and named):
            return engine
    return None


def is_data_folder(engine: Engine, folder: str) -> bool:
    """Return whether a folder of a container is that of the server's files, or inside it."""
    return any(map(PurePath(folder).is_relative_to, engine.folders))


def _words(image: str) -> set[str]:
    """Return the words of an image's name, without its registry, tag and digest."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
    return {name, *re.split(r"[-_]", name)}
