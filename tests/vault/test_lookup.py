"""Lookup in an index: paths and folders, also in indexes that lie."""

import random

import pytest

from vault.archive.blocks import BlockCutter
from vault.archive.format import Entry, encode, order, text
from vault.archive.lists import list_blocks
from vault.archive.lookup import BlockCache, Lookup
from vault.errors import Damaged

OWN = "ab" * 16


class Index:
    """An index in memory that counts the blocks that are read."""

    def __init__(self, entries):
        self.frames, self.reads = {}, []
        cutter, blocks = BlockCutter(), []
        for entry in [*entries, None]:
            for data, block in cutter.flush() if entry is None else cutter.add(entry):
                block.chunk = self.store(data)
                blocks.append(block)
        self.lists = [self.store(data) for data in list_blocks(blocks)]

    def store(self, data):
        frame = 2 + len(self.frames)
        self.frames[frame] = data
        return (f"{frame:032x}", OWN, frame, 0, len(data))

    def fetch(self, archive, frame):
        self.reads.append(frame)
        return self.frames[frame]

    def lookup(self):
        return Lookup(self.lists, self.fetch, "an archive", BlockCache())


def named(path, kind="file"):
    plain, encoded = text(path)
    return Entry(plain, encoded, type=kind)


@pytest.fixture
def tree():
    """Folders whose names sort differently with and without the slash."""
    chance = random.Random(3)
    folders = {"", "a", "a-b", "a.d", "a/b", "a/b/c", "\udcff", "z"}
    files = {f"{chance.choice([*folders])}/f{n}".lstrip("/") for n in range(900)}
    files |= {"a b", "a0", "a/b-", "\udcff/\udcfe"}
    entries = dict.fromkeys(folders, "dir") | dict.fromkeys(files, "file")
    return [named(path, entries[path]) for path in sorted(entries, key=order)]


def test_every_path_and_every_folder_is_found(tree):
    lookup = Index(tree).lookup()
    for entry in tree:
        assert lookup.entry(entry.name) == entry
        if entry.type == "dir":
            below = [e for e in tree if e.name and e.name.rpartition("/")[0] == entry.name]
            assert [*lookup.children(entry.name)] == below
    for absent in ("nope", "a/", "a/b/c/d/e", "\udcfd", "a/b/"):
        assert lookup.entry(absent) is None


def test_a_large_subfolder_is_skipped_unread():
    entries = [named("", "dir"), named("big", "dir"), *(named(f"big/{n:05}") for n in range(9000))]
    index = Index([*entries, named("small")])
    lookup = index.lookup()
    index.reads.clear()
    assert [entry.name for entry in lookup.children("")] == ["big", "small"]
    assert len(index.reads) <= 3


def test_an_empty_index_has_nothing():
    lookup = Index([]).lookup()
    assert (lookup.entry(""), [*lookup.children("")]) == (None, [])


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([named("b"), named("a")], id="descending"),
        pytest.param([named("a"), named("a")], id="twice"),
        pytest.param([named("x/y")], id="in no folder"),
        pytest.param([Entry("a", type="symlink")], id="a link to nowhere"),
    ],
)
def test_an_index_that_lies_is_damaged(entries):
    """It was made with the right key; a reader must neither loop nor pass it on."""
    with pytest.raises(Damaged):
        list(Index([named("", "dir"), *entries]).lookup().children(""))


def test_blocks_out_of_order_are_damaged():
    index = Index([named("", "dir"), *(named(f"{n:04}") for n in range(600))])
    index.lists = index.lists[:1]
    data = index.frames[index.lists[0][2]]
    from vault.archive.format import decode_blocks

    blocks = decode_blocks(data)
    index.lists = [index.store(encode([*blocks[1:], blocks[0]]))]
    with pytest.raises(Damaged, match="out of order"):
        index.lookup()
