"""Output of a container that its own user controls: bounded, and never a name outside."""

import os

import pytest

from stages.databases.base import PRINTED_BYTES
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis
from stages.databases.sqlite import SQLite
from stages.errors import SourceError
from stages.in_place.loads import load_dump
from stages.set_aside import write_dump


def said(monkeypatch, kind, pieces):
    """Return a server whose programs print `pieces`."""
    monkeypatch.setattr(kind, "program", lambda *_: iter(pieces))
    return kind(kind=kind.__name__.lower(), label="db", container="db")


def endless():
    for taken in range(0, 100 * PRINTED_BYTES, 1 << 20):
        assert taken <= PRINTED_BYTES, "more was read than is kept"
        yield b"61" * (1 << 19)


def test_an_endless_list_of_databases_is_cut_off(monkeypatch, tools):
    with pytest.raises(SourceError, match=r"the list of databases of .* more than 8 MiB"):
        said(monkeypatch, Postgres, endless()).files(tools)


def test_endless_settings_are_cut_off(monkeypatch, tools):
    with pytest.raises(SourceError, match=r"the look at the settings of .* more than 8 MiB"):
        said(monkeypatch, Redis, endless()).settings(tools)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "/" * 90])
def test_a_name_that_no_file_can_have_is_refused(monkeypatch, tools, name):
    server = said(monkeypatch, Postgres, [name.encode().hex().encode()])
    with pytest.raises(SourceError, match="name no file can have"):
        server.files(tools)


def test_a_database_that_is_listed_twice_is_dumped_once(monkeypatch, tools):
    server = said(monkeypatch, Postgres, [b"61\n61\n", b"2e2e2f61\n"])
    assert server.files(tools) == ["..%2Fa.dump", "a.dump", "globals.sql"]


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_only_a_regular_file_is_loaded(tmp_path, tools, kind):
    (tmp_path / "secret").write_text("of root")
    path = tmp_path / "app.db"
    path.symlink_to(tmp_path / "secret") if kind == "symlink" else os.mkfifo(path)
    database = SQLite(kind="sqlite", label="app", path=str(tmp_path / "secret"))
    with pytest.raises(SourceError, match=r"cannot read|is not a regular file"):
        load_dump(database, "app.db", str(path), tools, {})


def test_a_symlink_of_an_earlier_archive_is_not_written_through(tmp_path, tools, monkeypatch):
    """The folder of dumps holds what the archive of the restore before had in it."""
    precious = tmp_path / "precious"
    precious.write_text("of root")
    (tmp_path / "dumps").mkdir()
    for name in ("app.dump", "app.dump.new"):
        (tmp_path / "dumps" / name).symlink_to(precious)
    server = said(monkeypatch, Postgres, [b"PGDMP"])
    write_dump(server, str(tmp_path / "dumps"), "app.dump", tools, exists=True)
    assert (tmp_path / "dumps" / "app.dump").read_bytes() == b"PGDMP"
    assert not (tmp_path / "dumps" / "app.dump").is_symlink()
    assert precious.read_text() == "of root"
    assert sorted(os.listdir(tmp_path / "dumps")) == ["app.dump"]
