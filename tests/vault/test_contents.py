"""Content of a file from any position: holes, chunk lists, segments that are read once."""

import random
import threading

import pytest

from vault.archive.contents import Contents
from vault.archive.format import Entry, encode
from vault.archive.lists import last_chunks, list_chunks
from vault.archive.segments import SegmentCache, Segments
from vault.errors import Away, Damaged

OWN = "ab" * 16


class Stored:
    """A file in segments in memory, with chunks of a few bytes."""

    def __init__(self, chunks, *, holes=False):
        chance = random.Random(1)
        self.segments, self.reads, self.broken = {}, [], False
        self.entry, extents = Entry("f"), []
        self.bytes = b""
        index, frame = b"", 2
        for _ in range(chunks):
            data = chance.randbytes(chance.randrange(1, 9))
            if holes and chance.random() < 0.3:
                self.bytes += bytes(chance.randrange(1, 20))
            extents.append((len(self.bytes), len(data)))
            self.bytes += data
            if len(self.segments.get((False, OWN, frame), b"")) > 40:
                frame += 1
            old = self.segments.get((False, OWN, frame), b"")
            self.segments[False, OWN, frame] = old + data
            id_ = f"{chance.getrandbits(128):032x}"
            self.entry.chunks.append((id_, OWN, frame, len(old), len(data)))
            for items in list_chunks(self.entry):
                index = self.keep(index, items)
        if last := last_chunks(self.entry):
            index = self.keep(index, last)
        if holes:
            self.entry.extents = extents
            self.bytes += bytes(7)
        self.segments[True, OWN, 1000] = index
        self.entry.size = len(self.bytes)

    def keep(self, index, items):
        data = encode(items)
        self.entry.lists.append(("0" * 32, OWN, 1000, len(index), len(data)))
        return index + data

    def fetch(self, *key):
        self.reads.append(key)
        if self.broken:
            raise Away("gone")
        return self.segments[key]

    def contents(self, kept=1 << 20):
        return Contents(self.entry, Segments(self.fetch, SegmentCache(kept)), "an archive")


@pytest.mark.parametrize("holes", [False, True], ids=["whole", "holes"])
@pytest.mark.parametrize("chunks", [0, 1, 60, 700])
def test_every_range_is_what_was_stored(chunks, holes):
    stored = Stored(chunks, holes=holes)
    assert bool(stored.entry.lists) == (chunks > 64)
    chance = random.Random(2)
    contents = stored.contents(kept=200)  # which evicts most segments
    assert contents.read(0, 1 << 30) == stored.bytes
    for _ in range(300):
        at, most = chance.randrange(len(stored.bytes) + 5), chance.choice((1, 5, 50, 5000))
        assert contents.read(at, most) == stored.bytes[at : at + most]


def test_a_segment_is_fetched_once_for_many_readers():
    stored = Stored(60)
    contents = [stored.contents()] * 8
    found = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(one.read(0, 1 << 20)))
        for one in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [stored.bytes] * 8
    assert len(stored.reads) == len(set(stored.reads))


def test_what_failed_is_fetched_again():
    stored = Stored(10)
    contents = stored.contents()
    stored.broken = True
    with pytest.raises(Away):
        contents.read(0, 10)
    stored.broken = False
    assert contents.read(0, 1 << 20) == stored.bytes


def test_a_file_with_too_few_chunks_is_damaged_not_short():
    stored = Stored(10)
    stored.entry.chunks.pop()
    with pytest.raises(Damaged, match="fewer chunks"):
        stored.contents().read(0, 1 << 20)
