"""SQLite's files of a container that runs as root: they lead Packrat nowhere else."""

import sqlite3
import struct
import subprocess
from contextlib import closing

import pytest

from stages.databases.sqlite import SQLite
from stages.errors import SourceError

pytestmark = pytest.mark.root
MAGIC = bytes.fromhex("d9d505f920a163d7")
PAGE = 4096


@pytest.fixture
def database(tmp_path):
    (tmp_path / "service").mkdir()
    path = tmp_path / "service" / "app.db"
    fill(path, 1)
    return SQLite(kind="sqlite", label="app", path=str(path))


def fill(path, number):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (n INT)")
        db.execute("INSERT INTO t VALUES (?)", (number,))
        db.commit()


def journal_that_names(file):
    """Return a rollback journal of a transaction over several databases, which SQLite ends."""
    name = str(file).encode()
    head = MAGIC + struct.pack(">IIIII", 0, 1, 2, 512, PAGE)
    tail = struct.pack(">I", 0x40000000 // PAGE + 1) + name
    return head.ljust(512, b"\0") + tail + struct.pack(">II", len(name), sum(name)) + MAGIC


def dumped(database, tools):
    return b"".join(database.dump("app.db", tools))


def test_a_journal_that_names_another_file_deletes_nothing(database, tools, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("of root")
    (tmp_path / "service" / "app.db-journal").write_bytes(journal_that_names(precious))
    with pytest.raises(SourceError, match="the dump of SQLite"):
        dumped(database, tools)
    assert precious.read_text() == "of root"


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_link_that_appears_after_the_check_is_not_followed(
    database, tools, tmp_path, monkeypatch, ending
):
    fill(tmp_path / "secret.db", 2)
    before = (tmp_path / "secret.db").read_bytes()
    start, data = subprocess.Popen, tmp_path / "dump"
    data.write_bytes(dumped(database, tools))

    def swapped(*words, **more):
        at = tmp_path / "service" / f"app.db{ending}"
        at.unlink(missing_ok=True)
        at.symlink_to(tmp_path / "secret.db")
        return start(*words, **more)

    monkeypatch.setattr(subprocess, "Popen", swapped)
    with pytest.raises(SourceError, match="unable to open database file"):
        dumped(database, tools)
    if not ending:
        (tmp_path / "service" / "app.db").unlink()
        fill(tmp_path / "service" / "app.db", 1)
    with data.open("rb") as stream, pytest.raises(SourceError, match="unable to open"):
        database.load("app.db", stream, tools, {})
    assert (tmp_path / "secret.db").read_bytes() == before


def test_roots_own_database_with_a_log_is_dumped_and_loaded(database, tools, tmp_path):
    path = tmp_path / "service" / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("INSERT INTO t VALUES (5)")
        db.commit()
        (tmp_path / "dump").write_bytes(dumped(database, tools))
        db.execute("DELETE FROM t")
        db.commit()
        with (tmp_path / "dump").open("rb") as stream:
            database.load("app.db", stream, tools, {})
        assert db.execute("SELECT n FROM t").fetchall() == [(1,), (5,)]
