"""Index: blocks cut by content, in the order of the walk, found by path."""

import itertools
import random
import threading
import time
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.sampling import daily
from vault.archive.blocks import ENTRIES_LEAST, BlockCutter
from vault.archive.chunks import chunk_id
from vault.archive.format import Entry, order, text
from vault.archive.index import (
    ASKED_AT_ONCE,
    WAITING_MOST,
    blocks_of,
    read_blocks,
    read_entries,
)
from vault.archive.ranges import BLOCK_ENTRIES
from vault.archive.usage import Usage
from vault.errors import Damaged

KEY = bytes(32)
OWN = "0" * 32


def entry(path, **more):
    plain, encoded = text(path)
    return Entry(plain, encoded, **more)


def stored(entries):
    """Cut entries into blocks, all in one segment; return (blocks, fetch)."""
    cutter, blocks, segment = BlockCutter(), [], b""
    for full in [*map(cutter.add, entries), cutter.flush()]:
        for data, block in full:
            block.chunk = (chunk_id(KEY, data), OWN, 2, len(segment), len(data))
            blocks.append(block)
            segment += data

    def fetch(archive_id, number):
        assert (archive_id, number) == (OWN, 2)
        return segment

    return blocks, fetch


def tree(count, seed=0):
    """Return the paths of a tree with its folders, in order."""
    chance = random.Random(seed)
    paths = {""}
    while len(paths) < count:
        parts = [f"{chance.randrange(12):x}{'.-_'[chance.randrange(3)]}" for _ in range(4)]
        depth = chance.randrange(1, 5)
        paths |= {"/".join(parts[:n]) for n in range(1, depth + 1)}
    return sorted(paths, key=order)


@given(st.integers(1, 3000), st.integers(0, 99))
def test_blocks_hold_all_entries_in_order_within_their_bounds(count, seed):
    """Reading returns the same entries; only the last block may be short, and none is long."""
    entries = [entry(path) for path in tree(count, seed)]
    blocks, fetch = stored(entries)
    assert list(read_entries(blocks, fetch, "x")) == entries
    sizes = [block.entries for block in blocks]
    assert sum(sizes) == len(entries)
    assert all(ENTRIES_LEAST <= size <= BLOCK_ENTRIES for size in sizes[:-1])
    for block, entries_ in read_blocks(blocks, fetch, "x"):
        assert (block.first, len(entries_)) == (entries_[0].path, block.entries)


@pytest.mark.parametrize("first", daily(range(8), [0]))
def test_an_insertion_changes_few_blocks(first):
    """One new entry anywhere changes its block and at most the few after it."""
    paths = tree(6000)
    before = {block.chunk[0] for block in stored([entry(path) for path in paths])[0]}
    assert len(before) > 25
    for seed in range(first, 40, 8):
        more = f"{random.Random(seed).choice(paths)}+new{seed}"
        after = stored([entry(path) for path in sorted([*paths, more], key=order)])[0]
        fresh = [block for block in after if block.chunk[0] not in before]
        assert 1 <= len(fresh) <= 4


@pytest.mark.thorough
def test_a_deletion_changes_few_blocks():
    """Deleting an entry, even the last one of a block, changes few blocks."""
    paths = tree(6000)
    entries = [entry(path) for path in paths]
    blocks = stored(entries)[0]
    before = {block.chunk[0] for block in blocks}
    end = 0
    for block in blocks[:-1]:
        end += block.entries
        after = stored(entries[: end - 1] + entries[end:])[0]
        assert sum(block.chunk[0] not in before for block in after) <= 4


def test_a_changed_entry_changes_one_block():
    """Cuts depend on paths alone: new times of a file change only its block."""
    paths = tree(6000)
    entries = [entry(path) for path in paths]
    before = {block.chunk[0] for block in stored(entries)[0]}
    for place in range(0, 6000, 97):
        changed = [*entries]
        changed[place] = entry(paths[place], mtime=1)
        assert sum(b.chunk[0] not in before for b in stored(changed)[0]) == 1


PATHS = [*tree(4000, 7), "caf\udce9", "caf\udce9/\udcff"]


def selected(name: str, paths: list[str]) -> bool:
    """Return whether a name is one of these paths, or below one."""
    return any(not path or name == path or name.startswith(path + "/") for path in paths)


BLOCKS, FETCH = stored([entry(path) for path in sorted(PATHS, key=order)])


@given(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3))
def test_every_selected_path_is_in_the_blocks_that_are_read(wanted):
    """blocks_of returns those with the selection, everything below it, and the folders above."""
    names = {e.name for e in read_entries(blocks_of(BLOCKS, wanted), FETCH, "x")}
    assert {path for path in PATHS if selected(path, wanted)} <= names
    above = {path[:at] for path in wanted for at, letter in enumerate(path) if letter == "/"}
    assert above | {""} <= names


@given(st.text("0123456789ab.-_/", min_size=1, max_size=9))
def test_a_path_that_is_not_there_is_not_found(path):
    """blocks_of returns some blocks for any path, and only existing entries are in them."""
    names = [e.name for e in read_entries(blocks_of(BLOCKS, [path]), FETCH, "x")]
    assert [name for name in names if selected(name, [path])] == [
        name for name in sorted(PATHS, key=order) if selected(name, [path])
    ]


def test_one_path_of_a_large_index_reads_little():
    """A single file requires its block, and those of the folders above it."""
    deep = max(PATHS, key=lambda path: path.count("/"))
    assert len(blocks_of(BLOCKS, [deep])) <= 2 + deep.count("/")
    assert len(BLOCKS) > 15


def scattered():
    """Return blocks over two segments of each of eight archives: (entries, blocks, segments)."""
    places = [(f"{n % 8:032}", 2 + n) for n in range(16)]
    segments = dict.fromkeys(places, b"")
    entries = [entry(f"{number:04}") for number in range(6000)]
    cutter = BlockCutter()
    full = [block for found in [*map(cutter.add, entries), cutter.flush()] for block in found]
    for (data, block), place in zip(full, itertools.cycle(places)):
        block.chunk = (chunk_id(KEY, data), *place, len(segments[place]), len(data))
        segments[place] += data
    assert all(segments.values())
    return entries, [block for _, block in full], segments


def test_each_segment_of_an_index_is_read_once_from_some_archives_together():
    """Several archives are read at once, but none is read, or opened, by two threads."""
    entries, blocks, segments = scattered()
    reads = []
    asking = defaultdict(set)
    two = threading.Barrier(2, timeout=30)

    def fetch(archive, number):
        if archive not in asking:
            two.wait()
        asking[archive].add(threading.get_ident())
        reads.append((archive, number))
        return segments[archive, number]

    assert list(read_entries(blocks, fetch, "x")) == entries
    assert sorted(reads) == sorted(segments)
    assert [len(threads) for threads in asking.values()] == [1] * 8


def test_where_a_segment_cannot_be_read_the_rest_is_left_alone():
    """The first error is raised, and nothing that has not begun by then is fetched."""
    _, blocks, segments = scattered()
    reads = []

    def fetch(archive, number):
        reads.append((archive, number))
        if (archive, number) != min(segments):
            time.sleep(0.2)  # under way when the first one fails
        raise Damaged(f"{archive} {number}", "is gone")

    with pytest.raises(Damaged, match="{} {}".format(*min(segments))):
        list(read_entries(blocks, fetch, "x"))
    assert len(reads) <= ASKED_AT_ONCE + 1 < len(segments) / 2


def test_a_large_index_waits_compressed_and_reads_the_same():
    """An index beyond the bound for uncompressed waiting is read back as well."""
    target = "t" * 4000
    entries = [entry(f"{n:06}", type="symlink", target=target) for n in range(9000)]
    blocks, fetch = stored(entries)
    assert sum(block.chunk[4] for block in blocks) > WAITING_MOST
    assert sum(e.target == target for e in read_entries(blocks, fetch, "x")) == 9000


@pytest.mark.parametrize("data", [b"", b"[{]", b'[{"type": "door"}]', b'{"path": "a"}'])
def test_an_index_that_does_not_parse_names_its_archive(data):
    """Anything but a list of entries, or a truncated one, is damage that names the file."""
    blocks, _ = stored([entry("a")])
    for found in (data, data.ljust(blocks[0].chunk[4])):
        with pytest.raises(Damaged, match="the-file"):
            list(read_entries(blocks, lambda *_, found=found: found, "the-file"))


references = st.tuples(
    st.just("id"),
    st.sampled_from([OWN, "1" * 32, "2" * 32]),
    st.integers(2, 3),
    st.integers(0, 3000),
    st.integers(1, 500),
)


@given(st.lists(references, max_size=40))
def test_usage_counts_each_byte_of_other_archives_once(found):
    """A byte counts once, however often and in whatever order it is referred to."""
    usage = Usage(OWN)
    usage.MERGED_AT = 8  # so that merging happens
    for reference in found:
        usage.add(reference)
    bytes_ = {
        (archive, frame, at)
        for _, archive, frame, offset, length in found
        for at in range(offset, offset + length)
    }
    expected = {}
    for archive, _, _ in bytes_:
        if archive != OWN:
            expected[archive] = expected.get(archive, 0) + 1
    assert usage.by_archive() == expected
