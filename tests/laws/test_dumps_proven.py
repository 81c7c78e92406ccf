"""`verify --deep` reads the PostgreSQL dumps of the newest backup through with `pg_restore`."""

import os
import pwd
from pathlib import Path
from unittest.mock import patch

import pytest

from stages.databases import pg_restore
from stages.databases.base import Tools
from stages.databases.pg_restore import read_through
from stages.databases.postgres import Postgres
from stages.databases.proof import NotProven, UnsoundDump
from stages.facts import CommandLog
from tests.helpers.databases import PostgresServer, reachable_folder, removed
from tests.helpers.house import House
from tests.helpers.servers import need

pytestmark = pytest.mark.root
BLOCK = 1 << 16


@pytest.fixture(scope="module")
def server(engine):
    """A server with a database of 1 MB."""
    need("pg_restore", "apt install postgresql-client")
    with reachable_folder() as home, removed(engine, "db"):
        pg = PostgresServer(engine, "db", home)
        pg.sql(
            "CREATE TABLE t AS SELECT n, md5(n::text) v FROM generate_series(1, 25000) n;"
            "CREATE TABLE u AS SELECT 1 n"
        )
        yield pg


@pytest.fixture(scope="module")
def dump(server):
    """A real dump of it."""
    tools = Tools(str, CommandLog(), lambda: None)
    database = Postgres(kind="postgres", label="db", **server.params)
    return b"".join(database.dump("postgres.dump", tools))


def bad(dump):
    """Return a dump whose middle was replaced."""
    middle = len(dump) // 2
    return dump[:middle] + os.urandom(BLOCK) + dump[middle + BLOCK :]


def pieces(data):
    return (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))


@pytest.fixture
def house(tmp_path, server):
    settings = {
        "databases": [{"postgres": {"container": "db"}}],
        "docker": {"host": server.engine.host},
    }
    return House(tmp_path, settings=settings)


def back_up_bad(house):
    """Back up a dump whose middle is replaced before it is stored; return the name."""
    real = Postgres.dump

    def dump(self, file, tools):
        yield from pieces(bad(b"".join(real(self, file, tools))))

    with patch.object(Postgres, "dump", dump):
        return house.backed_up().name


def test_good_dump_is_read_through_and_nothing_is_said(house):
    house.backed_up()
    done = house.cli("verify", "svc", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 archive good" in done.stdout


def test_dump_that_was_bad_when_it_was_stored_is_reported_like_damage(house):
    """The archive itself is sound, so it stays a parent, and another depth finds nothing."""
    name = back_up_bad(house)
    [row] = house.json("verify", "svc", "--deep", status=4)
    assert (row["status"], row["dumps"]) == ("damaged", ["postgres-db/postgres.dump"])
    said = house.cli("verify", "svc", "--deep")
    assert said.returncode == 4
    assert "postgres-db/postgres.dump cannot be read by pg_restore:" in said.stdout
    assert "packrat backup svc dumps the database again" in said.stdout
    assert house.cli("verify", "svc").returncode == 0
    house.backed_up()
    assert house.json("ls", "svc")
    assert name in {row["file"] for row in house.json("verify", "svc")}


def test_only_the_newest_backup_is_read_through_unless_another_is_named(house):
    back_up_bad(house)
    old = house.json("list", "svc")[0]["id"]
    house.backed_up()
    assert house.cli("verify", "svc", "--deep").returncode == 0
    assert house.cli("verify", "svc", "--deep", "--backup", old).returncode == 4


def test_machine_without_pg_restore_says_so_and_all_is_well(house, monkeypatch):
    house.backed_up()
    monkeypatch.setenv("PATH", "/nowhere")
    done = house.cli("verify", "svc", "--deep")
    assert done.returncode == 0
    assert "'postgres-db/postgres.dump' was not read through: there is no pg_restore" in done.stderr
    assert "apt install postgresql-client" in done.stderr


def test_dump_of_a_newer_version_is_no_alarm(dump):
    """The version of the format is the three bytes after the magic."""
    newer = dump[:5] + bytes([1, 250, 0]) + dump[8:]
    with pytest.raises(NotProven, match="unsupported version"):
        read_through(pieces(newer), lambda: None)


@pytest.mark.parametrize("cut", [0, 3, 2000, 500_000])
def test_dump_that_is_cut_off_is_unsound(dump, cut):
    with pytest.raises(UnsoundDump):
        read_through(pieces(dump[:cut]), lambda: None)


def test_program_that_stands_still_is_ended(tmp_path, monkeypatch, dump):
    """It is a note, because a program that hangs says nothing about the dump."""
    program = tmp_path / "bin" / "pg_restore"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nsleep 100\n")
    program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(pg_restore, "STALL_SECONDS", 1.0)
    with pytest.raises(NotProven, match="made no progress for 1 s"):
        read_through(pieces(dump), lambda: None)


def test_program_runs_as_nobody_without_the_environment(monkeypatch, dump):
    monkeypatch.setenv("PACKRAT_SECRET", "word")
    seen = []

    def look():
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and f"PPid:\t{os.getpid()}\n" in _read(entry / "status"):
                words = _read(entry / "cmdline")
                if "pg_restore" in words:
                    seen.append((entry.stat().st_uid, _read(entry / "environ")))

    read_through(pieces(dump), look)
    assert seen
    assert all(uid == pwd.getpwnam("nobody").pw_uid for uid, _ in seen)
    assert all("PACKRAT_SECRET" not in environment for _, environment in seen)


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
