"""Dumps of real servers: whole, or refused with the cause; loaded, they are what was dumped."""

import io

import pytest

from stages.databases.mariadb import MariaDB
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis
from stages.errors import SourceError
from stages.service.exec import FED
from tests.helpers.databases import PASSWORD

pytestmark = pytest.mark.root
ODD = "o'd\"d/na`me %41 -x=1"


def of(server, kind, **more):
    return kind(kind=server.kind, label=server.name, **server.params, **more)


def dumped(database, tools):
    return {file: b"".join(database.dump(file, tools)) for file in database.files(tools)}


def loaded(database, file, data, tools, settings=None):
    database.load(file, io.BytesIO(data), tools, settings or {})


def test_postgres_dump_replaces_the_present_database(postgres, tools):
    database = of(postgres, Postgres)
    quoted = ODD.replace('"', '""')
    postgres.sql(f'CREATE ROLE app; CREATE DATABASE "{quoted}" OWNER app')
    postgres.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n", ODD)
    found = dumped(database, tools)
    assert list(found) == ["o'd\"d%2Fna`me %2541 -x=1.dump", "postgres.dump", "globals.sql"]
    postgres.sql("DROP TABLE t; CREATE TABLE later (n int)", ODD)
    loaded(database, "globals.sql", found["globals.sql"], tools)
    loaded(database, next(iter(found)), found[next(iter(found))], tools)
    assert postgres.sql("SELECT sum(n) FROM t", ODD) == "500500"
    assert postgres.sql("SELECT to_regclass('later') IS NULL", ODD) == "t"
    loaded(database, "postgres.dump", found["postgres.dump"], tools)
    assert postgres.sql("SELECT count(*) FROM pg_database") == "4"


def test_postgres_load_that_fails_changes_nothing(postgres, tools):
    database = of(postgres, Postgres)
    postgres.sql("CREATE DATABASE kept")
    postgres.sql("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 9999)", "kept")
    dump = b"".join(database.dump("kept.dump", tools))
    postgres.sql("CREATE TABLE later (n int)", "kept")
    with pytest.raises(SourceError, match=r"the load of 'kept'.*failed with status 1"):
        loaded(database, "kept.dump", dump[: len(dump) // 2], tools)
    assert postgres.sql("SELECT count(*) FROM later", "kept") == "0"


@pytest.mark.thorough
def test_postgres_load_that_is_interrupted_changes_nothing(postgres, tools):
    """The program that is ended puts the present database back before it ends."""
    database = of(postgres, Postgres)
    postgres.sql("CREATE DATABASE mine")
    postgres.sql("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 99999)", "mine")
    dump = b"".join(database.dump("mine.dump", tools))
    postgres.sql("CREATE TABLE later (n int)", "mine")

    class Interrupted(io.BytesIO):
        def read(self, count):
            if self.tell() > len(dump) // 2:
                raise KeyboardInterrupt
            return super().read(count // 16)

    with pytest.raises(KeyboardInterrupt):
        database.load("mine.dump", Interrupted(dump), tools, {})
    assert postgres.engine.ended(postgres.name, FED)
    assert postgres.sql("SELECT count(*) FROM later", "mine") == "0"


@pytest.mark.thorough
def test_mariadb_dump_replaces_the_present_database(mariadb, tools):
    database = of(mariadb, MariaDB)
    quoted = f"`{ODD.replace('`', '``')}`"
    mariadb.sql(f"CREATE DATABASE {quoted}; USE {quoted}; CREATE TABLE t (n INT, b BLOB);"
                "INSERT INTO t VALUES (1, x'00ff270a'), (2, 'ä')")  # fmt: skip
    [file] = database.files(tools)
    dump = b"".join(database.dump(file, tools))
    mariadb.sql("DELETE FROM t; CREATE TABLE later (n INT)", ODD)
    loaded(database, file, dump, tools)
    assert mariadb.sql("SELECT n, hex(b) FROM t ORDER BY n; SHOW TABLES", ODD) == (
        "1\t00FF270A\n2\tC3A4\nt"
    )


@pytest.mark.parametrize(
    "kind", ["postgres", pytest.param("mariadb", marks=pytest.mark.thorough), "redis"]
)
def test_wrong_password_is_an_error_with_the_cause(kind, request, tools):
    server = request.getfixturevalue(kind)
    model, said = {
        "postgres": (Postgres, "password authentication failed"),
        "mariadb": (MariaDB, "Access denied"),
        "redis": (Redis, "WRONGPASS|NOAUTH|Authentication"),
    }[kind]
    with pytest.raises(SourceError, match=said) as caught:
        dumped(of(server, model, password="wrong-one"), tools)
    assert "wrong-one" not in str(caught.value)


def test_password_is_on_no_command_line(postgres, tools):
    database = of(postgres, Postgres, password=PASSWORD)
    postgres.sql("CREATE TABLE big AS SELECT repeat('x', 500) FROM generate_series(1, 40000)")
    dump = database.dump("postgres.dump", tools)
    next(dump)
    commands = postgres.engine.commands(postgres.name)
    assert "pg_dump" in commands
    assert PASSWORD not in commands
    dump.close()
    assert postgres.engine.ended(postgres.name, "pg_dump"), "a dump that nothing reads goes on"
