"""Agreement of rescue.py and packrat on lines, roots and statements."""

import os
import sys
from pathlib import Path

import pytest

from vault.archive.keys import Keys
from vault.archive.reader import Archive
from vault.archive.statement import Statement, open_statement, seal_statement
from vault.errors import VaultError

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import tiny_writer  # noqa: E402
from tiny_writer import Draft  # noqa: E402

import rescue  # noqa: E402 - a file at the root, of no package

MASTER = tiny_writer.master_key("a password")
KEYS = Keys(MASTER, b"", ())
ID, TIME = "ab" * 16, "20260102T030405Z"
PIN = {"archive": ID, "time": TIME, "text": "before the upgrade"}
GONE = {"archive": ID, "time": TIME, "how": "pruned"}
SAID = {
    "format": 2,
    "service": "svc",
    "host": "here",
    "line": ID,
    "time": TIME,
    "says": "pin",
    "archives": [ID],
    "text": "before the upgrade",
}


def root(label="", kind="folder", **more):
    return {"label": label, "kind": kind, "source": "/srv"} | more


def by_packrat(path):
    """Return whether packrat opens an archive or a statement."""
    data = path.read_bytes()
    try:
        if path.suffix == ".statement":
            open_statement(data, path.name, KEYS, "it")
        else:
            Archive(lambda at, length: data[at : at + length], len(data), path.name, KEYS)
    except VaultError:
        return False
    return True


def by_rescue(path):
    """Return whether rescue.py lists an archive or a statement."""
    key = tiny_writer.key_file(path.parent / "key", MASTER)
    return rescue.main(["--list", str(path), "--key-file", str(key)]) == 0


def agreed(path):
    """Return the verdict of both programs, which must be the same."""
    verdicts = by_packrat(path), by_rescue(path)
    assert verdicts[0] == verdicts[1], verdicts
    return verdicts[0]


GOOD = [
    {"sequence": 2**53 - 1, "parent": {"id": ID, "name": "svc-x.packrat"}},
    {"pins": [PIN], "accepted": [{"archive": ID, "time": TIME}]},
    {"gone": [GONE, GONE | {"how": "forgotten"}]},
    {"roots": [root(kind="volume")]},
    {"roots": [root("only")], "index": "only"},
    {"roots": [root("x" * 255), root("d", "dump"), root("é", "definition")], "index": "labels"},
]
BAD = [
    {"line": "ab"},
    {"line": ID + "\n"},
    {"line": None},
    {"sequence": 0},
    {"sequence": 2**53},
    {"sequence": "1"},
    {"parent": "svc-x.packrat"},
    {"parent": {"id": "x", "name": "y"}},
    {"parent": {"id": ID}},
    {"host": 5},
    {"pins": {}},
    {"pins": [{"archive": ID, "time": TIME}]},
    {"pins": [PIN | {"time": "today"}]},
    {"accepted": [{"archive": "x", "time": TIME}]},
    {"gone": [GONE | {"how": "lost"}]},
    {"roots": []},
    {"roots": {}},
    {"roots": [root(), root()]},
    {"roots": [root(), root("a")]},
    {"roots": [root("a"), root("a")]},
    {"roots": [root(kind="dump")]},
    {"roots": [root(kind="disk")]},
    {"roots": [root(source=None)]},
    {"roots": [root("a") for _ in range(1001)]},
    *({"roots": [root(label)]} for label in (".", "..", "a/b", "a\0", "x" * 256, "\ud800")),
]


def entries_for(manifest):
    """Return an index with an entry of each root, for the manifests that have several."""
    if not manifest.pop("index", None):
        return [{"path": "", "type": "dir"}]
    kinds = {one["label"]: one["kind"] for one in manifest["roots"]}
    types = {"folder": "dir", "volume": "dir", "dump": "stream", "definition": "stream"}
    return [{"type": "dir"}, *({"path": p, "type": types[kind]} for p, kind in kinds.items())]


@pytest.mark.parametrize(("changes", "good"), [*((c, 1) for c in GOOD), *((c, 0) for c in BAD)])
def test_both_open_the_same_manifests(tmp_path, changes, good):
    """Lines, parents, sequences, statements in force and roots, good and bad ones."""
    changes = dict(changes)
    draft = Draft(MASTER)
    draft.index(entries_for(changes))
    draft.manifest |= {"normal": [0, 0]} | changes
    assert agreed(draft.save(tmp_path / "store")) == bool(good)


def statement(folder, **changes):
    """Write a statement that says this."""
    draft = Draft(MASTER)
    draft.says = SAID | {"id": draft.id.hex()} | changes
    return draft.save(folder / "store")


@pytest.mark.parametrize("says", ["pin", "unpin", "pruned", "forgotten", "accepted"])
def test_both_open_each_kind_of_statement(tmp_path, capsys, says):
    """And rescue.py prints what it says."""
    assert agreed(statement(tmp_path, says=says))
    assert capsys.readouterr().out == f"{TIME} {says} abababab: before the upgrade\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 3},
        {"id": ID},
        {"service": "other"},
        {"service": 5},
        {"host": None},
        {"line": "x"},
        {"time": "20260102T030406Z"},
        {"says": "nothing"},
        {"archives": []},
        {"archives": {ID: 1}},
        {"archives": ["x"]},
        {"archives": [ID] * 1001},
        {"text": "é" * 2049},
        {"text": 5},
    ],
)
def test_neither_opens_a_wrong_statement(tmp_path, changes):
    """Wrong values, and the name of another statement."""
    assert not agreed(statement(tmp_path, **changes))


def test_the_largest_statement_is_taken(tmp_path):
    """1,000 random ids and 4,096 bytes of text fit the limits of the frame."""
    draft = Statement(
        id=os.urandom(16).hex(),
        service="svc",
        host="here",
        line=ID,
        time=TIME,
        says="pruned",
        archives=[os.urandom(16).hex() for _ in range(1000)],
        text=os.urandom(2048).hex(),
    )
    keys = Keys(MASTER, b"", tiny_slots())
    (tmp_path / draft.name).write_bytes(seal_statement(draft, keys))
    assert agreed(tmp_path / draft.name)


def tiny_slots():
    """Return the slot of the tiny writer, parsed by packrat."""
    from vault.archive.slots import unpack_slots

    return unpack_slots(b"\1" + tiny_writer.password_slot(MASTER), "the slot")


@pytest.mark.parametrize("change", ["flip", "cut", "append", "rename"])
def test_neither_opens_a_damaged_statement(tmp_path, change):
    """Every byte of the file counts, and so does its name."""
    path = statement(tmp_path)
    data = bytearray(path.read_bytes())
    if change == "flip":
        data[-20] ^= 1
    path.write_bytes({"cut": data[:-1], "append": data + b"\0"}.get(change, data))
    if change == "rename":
        path = path.rename(path.with_name(f"other{path.name}"))
    assert not agreed(path)


def test_a_statement_is_not_restored(tmp_path, capsys):
    """rescue.py says what can be done with it."""
    path = statement(tmp_path)
    with pytest.raises(SystemExit) as ended:
        rescue.main([str(path), str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "a statement can only be listed" in capsys.readouterr().err
