"""Chunk lists and block lists: cut by content, read back one at a time, checked."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.archive import lists
from vault.archive.check_entry import Implausible, check_entry, pieces_of
from vault.archive.format import Block, Entry, decode_blocks, encode
from vault.archive.lists import LIST_LEAST, ChunkLists, last_chunks, list_blocks, list_chunks
from vault.archive.ranges import (
    BLOCK_BYTES,
    LIST_MOST,
    LISTED_FROM,
    LISTS_MOST,
)
from vault.errors import Damaged

OWN, OTHER = "ab" * 16, "cd" * 16


def references(count, seed=0):
    """Return references of chunks with random ids, a few bytes each."""
    chance = random.Random(seed)
    return [
        (
            f"{chance.getrandbits(128):032x}",
            OWN,
            2 + n // 500,
            8 * (n % 500),
            chance.randrange(1, 9),
        )
        for n in range(count)
    ]


class Stored:
    """An entry whose lists are in segments of a few lists each."""

    def __init__(self, chunks, size=None, in_segment=3):
        self.entry = Entry("f", size=sum(c[4] for c in chunks) if size is None else size)
        self.lists, self.reads, self.segments = [], [], {}
        self.in_segment = in_segment
        for chunk in chunks:
            self.entry.chunks.append(chunk)
            for items in list_chunks(self.entry):
                self.add(items)
        if last := last_chunks(self.entry):
            self.add(last)

    def add(self, items):
        self.append(2 + len(self.lists) // self.in_segment, encode(items))
        self.lists.append(items)

    def append(self, frame, data):
        segment = self.segments.get(frame, b"")
        self.entry.lists.append(("0" * 32, OWN, frame, len(segment), len(data)))
        self.segments[frame] = segment + data

    def fetch(self, archive, frame):
        assert archive == OWN
        self.reads.append(frame)
        return self.segments[frame]

    def read(self, known=None):
        return list(ChunkLists(self.fetch, "the archive", known).references(self.entry))


@settings(deadline=None)
@given(st.integers(0, 600), st.integers(0, 9))
def test_listed_chunks_are_read_back_in_order(count, seed):
    """Up to 64 chunks are in the entry, more in lists of 32 to 256; nothing else changes."""
    chunks = references(count, seed)
    stored = Stored(chunks)
    assert stored.read({OWN}) == chunks
    check_entry(stored.entry, {OWN})
    assert list(pieces_of(stored.entry, stored.read()))[-1:] == [
        (chunk, stored.entry.size - chunk[4]) for chunk in chunks[-1:]
    ]
    assert bool(stored.entry.lists) == (count > LISTED_FROM)
    assert stored.entry.chunks == ([] if count > LISTED_FROM else chunks)
    assert all(LIST_LEAST <= len(items) <= LIST_MOST for items in stored.lists[:-1])


def test_lists_hold_about_64_chunks():
    """Also without a content to cut at, a list ends."""
    assert 50 < 20_000 / len(Stored(references(20_000)).lists) < 80
    same = [("f" * 32, OWN, 2, 0, 1)] * 1000
    assert [len(items) for items in Stored(same).lists] == [256, 256, 256, 232]


@pytest.mark.parametrize("change", ["altered", "inserted", "removed"])
def test_a_changed_chunk_changes_few_lists(change):
    """Lists end where ids say so: a change rewrites its list and at most the few after it."""
    chunks = references(4_000)
    before = {encode(items) for items in Stored(chunks).lists}
    for seed, place in enumerate(range(0, 4_000, 197)):
        new = references(1, 1000 + seed) if change != "removed" else []
        changed = chunks[:place] + new + chunks[place + (change != "inserted") :]
        fresh = [items for items in Stored(changed).lists if encode(items) not in before]
        assert 1 <= len(fresh) <= 6


def test_each_segment_of_lists_is_fetched_once_while_there_is_room(monkeypatch):
    """Two files in a row share segments; beyond the limit the oldest segment is given up."""
    stored = Stored(references(4000))
    reader = ChunkLists(stored.fetch, "x")
    for _ in range(3):
        assert sum(1 for _ in reader.references(stored.entry)) == 4000
    assert sorted(stored.reads) == sorted(stored.segments)
    monkeypatch.setattr(lists, "KEPT_BYTES", 1)
    reader = ChunkLists(stored.fetch, "x")
    assert list(reader.references(stored.entry)) == references(4000)


def hostile(*parts):
    """Return an entry with lists of this JSON."""
    stored = Stored([])
    for part in parts:
        stored.append(2, part if isinstance(part, bytes) else encode(part))
    return stored


GOOD = (OWN, OWN, 2, 0, 5)
LISTS = {
    "empty": [[]],
    "too long": [[GOOD] * (LIST_MOST + 1)],
    "no list": [b'{"a": 1}'],
    "cut off": [b'[["'],
    "nested": [b"[" * 100_000],
    "another archive": [[(OWN, OTHER, 2, 0, 5)]],
    "no id": [[("x", OWN, 2, 0, 5)]],
    "the manifest's frame": [[(OWN, OWN, 0, 0, 5)]],
    "no bytes": [[(OWN, OWN, 2, 0, 0)]],
    "negative": [[(OWN, OWN, 2, -1, 5)]],
    "beyond a segment": [[(OWN, OWN, 2, 4 << 20, 1)]],
    "too short": [[(OWN, OWN, 2, 0)]],
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_is_wrong_is_damage_that_names_the_archive(case):
    """Whatever a list holds, it is refused, and nothing but Damaged is raised."""
    with pytest.raises(Damaged, match="the archive"):
        hostile([GOOD], *LISTS[case]).read({OWN})


def test_a_list_beyond_its_segment_is_damage():
    """The place of a list is compared with the segment that is read."""
    stored = hostile([GOOD])
    [place] = stored.entry.lists
    stored.entry.lists = [(*place[:4], place[4] + 1)]
    with pytest.raises(Damaged, match="the archive: its index refers past"):
        stored.read()


def test_references_of_one_entry_are_limited(monkeypatch):
    """A small archive may repeat one list as often as it likes; nothing counts to the end."""
    monkeypatch.setattr(lists, "REFERENCES_MOST", 1000)
    stored = hostile([GOOD] * 200)
    stored.entry.lists *= 6
    with pytest.raises(Damaged, match="more chunks than the format allows"):
        stored.read()


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ({"chunks": [GOOD] * LISTED_FROM, "size": 5 * LISTED_FROM}, True),
        ({"chunks": [GOOD] * (LISTED_FROM + 1), "size": 5 * (LISTED_FROM + 1)}, False),
        ({"lists": [(OWN, OWN, 2, 0, BLOCK_BYTES)] * LISTS_MOST, "size": 5}, True),
        ({"lists": [(OWN, OWN, 2, 0, BLOCK_BYTES)] * (LISTS_MOST + 1), "size": 5}, False),
        ({"lists": [(OWN, OWN, 2, 0, BLOCK_BYTES + 1)], "size": 5}, False),
        ({"lists": [(OWN, OWN, 2, 40 << 20, 1)], "size": 5}, False),
        ({"lists": [(OWN, OTHER, 2, 0, 9)], "size": 5}, False),
        ({"lists": [GOOD], "chunks": [GOOD], "size": 5}, False),
        ({"lists": [GOOD], "type": "fifo"}, False),
        ({"average": 1 << 16, "type": "fifo"}, False),
    ],
)
def test_an_entry_has_chunks_or_lists_within_limits(more, allowed):
    """References outside the ranges of the format are refused before a list is read."""
    entry = Entry("f", **more)
    if allowed:
        check_entry(entry, {OWN})
    else:
        with pytest.raises(Implausible):
            check_entry(entry, {OWN})


def blocks(count, path="p", seed=0):
    chance = random.Random(seed)
    return [
        Block((f"{chance.getrandbits(128):032x}", OWN, 3, 0, 9), 64, f"{path}{n:06}")
        for n in range(count)
    ]


@settings(deadline=None)
@given(st.integers(0, 900), st.integers(0, 9))
def test_block_lists_hold_all_blocks_in_order(count, seed):
    """Joined lists are the blocks; a list has at most 256."""
    found = [decode_blocks(data) for data in list_blocks(blocks(count, seed=seed))]
    assert [block for part in found for block in part] == blocks(count, seed=seed)
    assert all(LIST_LEAST <= len(part) <= LIST_MOST for part in found[:-1])


def test_a_changed_block_changes_few_block_lists():
    """So a run in which little has changed stores few of them again."""
    there = blocks(5000)
    before = set(list_blocks(there))
    for place in range(0, 5000, 173):
        changed = [*there[:place], *blocks(1, seed=place + 1), *there[place + 1 :]]
        assert 1 <= len(set(list_blocks(changed)) - before) <= 6


def test_a_block_list_with_the_longest_paths_stays_within_its_limit():
    """A list of more than one block has at most a MiB, however long paths are."""
    there = blocks(300, "x" * 65_000)
    found = list(list_blocks(there))
    assert all(len(data) <= BLOCK_BYTES for data in found)
    assert [block for data in found for block in decode_blocks(data)] == there
