"""Agreement of rescue.py and packrat: the same accepted indexes, and the documented ranges."""

import base64
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.sampling import examples
from vault.archive import ranges
from vault.archive.check_index import IndexCheck
from vault.archive.format import decode_entries
from vault.archive.lineage import Root
from vault.errors import Damaged

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
import rescue  # noqa: E402 - a file at the root, of no package

OWN = "ab" * 16
ID = "0" * 32
FORMAT = (HERE.parent / "docs" / "format.md").read_text()


FRAMES = 3


def reference(archive=OWN, frame=2, offset=0, length=5):
    return [ID, archive, frame, offset, length]


def by_packrat(entries, roots=()):
    """Return whether packrat accepts a list of entries."""
    try:
        check = IndexCheck("the archive", {OWN}, roots)
        for entry in decode_entries(json.dumps(entries).encode()):
            check.check(entry)
            if any(chunk[2] > FRAMES + 1 for chunk in entry.chunks):
                return False  # as whoever opens the archive's table
        check.check_totals(SimpleNamespace(entries=check.entries, files=check.files))
    except (msgspec.MsgspecError, Damaged):
        return False
    return True


class OneArchive(rescue.Backup):
    """Backup whose only archive has this many frames of content."""

    def __init__(self):
        archive = rescue.Archive.__new__(rescue.Archive)
        archive.id, archive.frames = OWN, [(72, 10)] * FRAMES
        self.archives = {OWN: archive}


def by_rescue(entries, roots=()):
    """Return whether rescue.py accepts a list of entries."""
    backup = OneArchive()
    try:
        with rescue.reading("the index"):
            found = [rescue.Entry(item, backup.reference) for item in entries]
            rescue.check(found, {root.label: rescue.ROOTS[root.kind] for root in roots})
    except rescue.RescueError:
        return False
    return True


FILE = {"path": "f", "size": 5, "chunks": [reference()]}
BOUNDS = [
    (name, value, low <= value <= high)
    for name, (low, high) in ranges.RANGES.items()
    for value in (low - 1, low, high, high + 1)
]


def entry_with(name, value):
    """Return an entry whose number `name` has this value."""
    if name == "link":
        return {"path": "f", "link": [0, value]}
    if name in ("major", "minor"):
        return {
            "path": "d",
            "type": "char",
            "device": [value, 0] if name == "major" else [0, value],
        }
    if name == "size":
        return {"path": "f", "size": value, "extents": []}
    return {"path": "f", name: value}


@pytest.mark.parametrize(("name", "value", "allowed"), BOUNDS)
def test_both_take_each_number_up_to_the_ends_of_its_range(name, value, allowed):
    """Every value that the kernel can report is stored, and every stored value is rescued."""
    entries = [entry_with(name, value)]
    assert (by_packrat(entries), by_rescue(entries)) == (allowed, allowed)


def test_the_ranges_are_one_list():
    """In vault/archive/ranges.py, in rescue.py, and in docs/format.md."""
    assert rescue.RANGES == ranges.RANGES
    for name in (
        "PATH_BYTES",
        "TARGET_BYTES",
        "XATTR_NAME_BYTES",
        "XATTRS_BYTES",
        "LISTED_FROM",
        "LIST_MOST",
        "LISTS_MOST",
        "REFERENCES_MOST",
        "BLOCK_ENTRIES",
        "BLOCK_BYTES",
        "LABEL_BYTES",
        "ROOTS_MOST",
        "SEQUENCE_LAST",
        "ARCHIVES_SAID",
        "TEXT_BYTES",
    ):
        assert getattr(rescue, name) == getattr(ranges, name)
        assert re.search(rf"\b{getattr(ranges, name)}\b", FORMAT.replace(",", ""))
    rows = re.findall(r"^\| (.*`.*) \| (-?\d+) \| (\d+) \|$", FORMAT, re.MULTILINE)
    documented = {
        name: (int(low), int(high))
        for names, low, high in rows
        for name in re.findall(r"`(\w+)`|: (major|minor)", names)
        for name in [name[1] or name[0]]
    }
    documented.pop("device")
    assert documented == ranges.RANGES


paths = st.sampled_from(
    [
        "",
        "a",
        "a/b",
        "a-b",
        "a/b/c",
        "d",
        "/a",
        "a//b",
        "a/",
        "..",
        "a/./b",
        "a\0",
        "x" * 65_536,
        "x" * 65_537,
    ]
)
encoded = st.sampled_from([b"\xff", b"a/\xff", b"..", b"\xff\0"]).map(
    lambda raw: base64.b64encode(raw).decode()
)
chunk_lists = st.lists(
    st.builds(
        reference,
        st.sampled_from([OWN, "cd" * 16]),
        st.sampled_from([1, 2, 4, 5]),
        st.sampled_from([0, 7]),
        st.sampled_from([0, 2, 5]),
    ),
    max_size=2,
)
fields = {
    "path64": st.one_of(encoded, st.just("x")),
    "type": st.sampled_from(["file", "dir", "symlink", "fifo", "char", "stream", "socket"]),
    "inode": st.sampled_from([0, 1]),
    "mode": st.sampled_from([0, 0o7777, 0o10000]),
    "mtime": st.sampled_from([0, ranges.TIME[1], ranges.TIME[1] + 1, 1.5]),
    "size": st.sampled_from([0, 2, 5, 7, 10]),
    "link": st.sampled_from([[1, 2], [1, 3], [-1, 2], [1]]),
    "target": st.sampled_from(["", "a", "a\0", "t" * 4095, "t" * 4096]),
    "target64": encoded,
    "device": st.sampled_from([[1, 3], [0, 0], [4096, 0]]),
    "xattrs": st.dictionaries(
        st.sampled_from(["user.x", "", "n" * 255, "n" * 256, "u\0"]),
        st.sampled_from(["", "eA==", "x", "!"]),
        max_size=2,
    ),
    "xattrs64": st.dictionaries(encoded | st.just(""), st.sampled_from(["", "eA=="]), max_size=1),
    "extents": st.lists(st.sampled_from([[0, 2], [2, 3], [0, 5], [5, 2], [3, 0]]), max_size=2),
    "chunks": chunk_lists,
    "lists": chunk_lists,
    "average": st.sampled_from([1 << 16, 1 << 20, 1, True]),
    "unsettled": st.booleans(),
}
VALID = [
    {"type": "dir", "mode": 0o755},
    {"path": "a", "type": "dir", "xattrs": {"user.x": "eA=="}},
    {"path": "a/b", "size": 5, "chunks": [reference()], "link": [1, 2]},
    {"path": "a-b", "size": 5, "chunks": [reference()], "link": [1, 2]},
    {"path": "d", "type": "char", "device": [1, 3]},
    {"path": "l", "type": "symlink", "target": "a"},
    {"path": "p", "type": "stream", "size": 5, "chunks": [reference()]},
    {
        "path": "s",
        "size": 10,
        "extents": [[0, 2], [5, 3]],
        "chunks": [reference(length=2), reference(length=3)],
    },
]
changes = st.one_of(
    st.tuples(st.just("path"), paths),
    *(st.tuples(st.just(name), values) for name, values in fields.items()),
    st.tuples(st.sampled_from(["path", "type", "size", "chunks", "target", "extents"]), st.none()),
)
lists = st.tuples(
    st.lists(st.sampled_from(range(len(VALID))), unique=True, min_size=1).map(sorted),
    st.lists(st.tuples(st.integers(0, 7), changes), max_size=2),
).map(lambda made: changed(*made))


def changed(chosen, edits):
    """Return valid entries with some of their keys changed or dropped."""
    found = [dict(VALID[number]) for number in chosen]
    for place, (key, value) in edits:
        item = found[place % len(found)]
        item.pop(key, None)
        if value is not None:
            item[key] = value
    return found


roots = st.one_of(
    st.just(()),
    st.lists(
        st.builds(Root, st.sampled_from("adps"), st.sampled_from([*rescue.ROOTS]), st.just("/x")),
        unique_by=lambda root: root.label,
        min_size=1,
    ),
)
ROOTED = [
    {"type": "dir"},
    {"path": "d", "size": 5, "type": "stream", "chunks": [reference()]},
    {"path": "v", "type": "dir"},
    {"path": "v/a", "size": 5, "chunks": [reference()], "link": [1, 2]},
]
OF = [Root("d", "dump", "db"), Root("v", "volume", "data")]


def test_both_take_an_index_of_several_roots():
    """And neither takes one without an entry of each root, or with one outside of them."""
    assert by_packrat(ROOTED, OF)
    assert by_rescue(ROOTED, OF)
    wrong = [ROOTED[:2], [*ROOTED, {"path": "w", "type": "dir"}], [*ROOTED[:2], {"path": "v"}]]
    wrong += [[{"path": "d", "size": 5, "chunks": [reference()]}, *ROOTED[2:]]]
    wrong += [[{"path": "d", "type": "dir"}, {"path": "d/f"}, *ROOTED[2:]]]
    for found in wrong:
        assert not by_packrat(found, OF)
        assert not by_rescue(found, OF)


@settings(max_examples=examples(200))
@given(lists, roots)
@example([FILE | {"size": 9, "extents": [[0, 2], [6, 3]]}], ())
@example([FILE | {"link": [1, 2]}, FILE | {"path": "g", "link": [1, 2], "mode": 1}], ())
@example([{"path": "a", "type": "dir", "link": [1, 2]}], ())
@example([{"path": "", "type": "file"}], ())
@example([{"path": "a", "type": "dir", "extents": []}], ())
def test_packrat_and_rescue_take_the_same_indexes(found, roots):
    """Whatever an index says, either both restore it, or neither does."""
    assert by_packrat(found, roots) == by_rescue(found, roots)
