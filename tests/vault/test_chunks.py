"""Chunks: named by content, cut by content, known from the parent and this run."""

from itertools import accumulate

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.trees import noise
from vault.archive import chunks
from vault.archive.chunks import CHUNK_LEAST, CHUNK_MOST, Cutter, KnownChunks, chunk_id

KEY = bytes(range(32))
MIB = 1 << 20
ARCHIVES = ["a" * 32, "b" * 32, "c" * 32]


def cut(data):
    return [bytes(view) for view in Cutter().cut(data)]


@given(st.binary(max_size=2000))
def test_a_chunk_is_named_by_keyed_blake3(data):
    """The name is 16 bytes of keyed BLAKE3: without the key it reveals nothing."""
    assert chunk_id(KEY, data) == blake3(data, key=KEY).digest().hex()[:32]
    assert chunk_id(KEY, memoryview(data)) == chunk_id(KEY, data)
    assert chunk_id(bytes(32), data) != chunk_id(KEY, data)


def test_cutting_loses_nothing_and_keeps_its_bounds():
    """Joined chunks are the data; all but the last are from 256 KiB to 4 MiB."""
    for data in (noise(30 * MIB), bytes(10 * MIB), b"abc" * 5_000_000):
        found = cut(data)
        assert b"".join(found) == data
        assert all(CHUNK_LEAST <= len(chunk) <= CHUNK_MOST for chunk in found[:-1])
        assert 0 < len(found[-1]) <= CHUNK_MOST
    assert 10 < len(cut(noise(30 * MIB))) < 90
    assert cut(b"") == []


@pytest.mark.parametrize("place", [0, 1, 5 * MIB + 3, 20 * MIB])
@pytest.mark.parametrize("change", ["inserted", "removed", "altered"])
def test_a_change_touches_the_chunks_around_it_only(place, change):
    """Bytes inserted, deleted or changed anywhere make at most a few chunks new."""
    data = noise(24 * MIB, 3)
    more = b"" if change == "removed" else noise(1000, 4)
    skip = 0 if change == "inserted" else 1000
    before = set(cut(data))
    fresh = [c for c in cut(data[:place] + more + data[place + skip :]) if c not in before]
    assert 1 <= len(fresh) <= 4


def test_a_cut_depends_only_on_the_bytes_since_the_last_one():
    """The rest after a cut is cut as if it were alone: data may come in pieces."""
    data = noise(12 * MIB, 5)
    whole = cut(data)
    for start in accumulate(map(len, whole[:-1])):
        done = [c for c in whole if c]
        rest = cut(data[start:])
        assert rest == done[len(done) - len(rest) :]


def references(count, archive=0):
    return [
        (f"{archive}{number:031x}", ARCHIVES[archive], 2 + number // 100, number % 100 * 7, 7)
        for number in range(count)
    ]


def test_known_are_the_parents_chunks_and_those_of_this_run(monkeypatch):
    """Every known chunk is found, also after this run's spill to disk; others are not."""
    monkeypatch.setattr(chunks, "RECENT_MOST", 64)
    parent, own = references(500), references(500, 1)
    known = KnownChunks(lambda: iter(parent))
    for reference in own:
        known.add(reference)
    assert all(known.find(reference[0]) == reference for reference in parent + own)
    assert known.find("2" * 32) is None
    known.close()


def test_the_parent_is_read_once_and_only_when_asked():
    """A run in which nothing changed never loads the parent's chunks; another loads them once."""
    loads = []

    def parent():
        loads.append(1)
        return references(10)

    known = KnownChunks(parent)
    assert loads == []
    own = references(1, 1)[0]
    known.add(own)
    assert known.find(own[0]) == own
    assert loads == []
    assert known.find("f" * 32) is None
    assert known.find(references(10)[3][0]) == references(10)[3]
    assert loads == [1]


def test_without_a_parent_only_this_runs_chunks_are_known():
    """A first backup knows only what it stored itself."""
    known = KnownChunks(lambda: ())
    assert known.find("0" * 32) is None
    known.add(references(1)[0])
    assert known.find(references(1)[0][0]) == references(1)[0]


def test_a_chunk_stored_twice_keeps_one_reference(monkeypatch):
    """A chunk of parent and of this run is found; both copies are the same bytes."""
    monkeypatch.setattr(chunks, "RECENT_MOST", 2)
    parent = references(3)
    known = KnownChunks(lambda: parent)
    moved = [(name, ARCHIVES[2], 9, 9, 7) for name, *_ in parent]
    for reference in moved:
        known.add(reference)
    for old, new in zip(parent, moved, strict=True):
        assert known.find(old[0]) in (old, new)
