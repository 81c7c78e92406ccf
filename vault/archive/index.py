"""Index: every entry of a backup in the order of the walk, in blocks that deduplicate."""

from __future__ import annotations

from array import array
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec
import zstandard

from vault.archive.format import (
    Block,
    Entry,
    Reference,
    decode_entries,
    encode,
    order,
    text,
    untext,
)
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Fetch = Callable[[str, int], bytes]
    """(archive id, frame number) -> plaintext of that index segment; called by several threads."""
    Pack = Callable[[bytes | memoryview], bytes]

ENTRIES_LEAST, ENTRIES_MOST, CUT_MASK = 32, 1024, 127
BLOCK_BYTES = 64 << 20
"""A block ends before it gets larger, so that no index segment exceeds 1 GiB."""
LIGHT = 64
"""An entry with fewer chunks is too small for its size in a block to be computed."""
WAITING_MOST = 32 << 20
ASKED_AT_ONCE = 4
"""Archives read at the same time; a segment of each takes some MiB of memory."""


class BlockCutter:
    """Collector of entries that cuts them into blocks where their paths say so."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._heavy = 0
        """Estimated bytes of the large entries."""

    @property
    def empty(self) -> bool:
        """True if a block begins with the next entry."""
        return not self._entries

    def add(self, entry: Entry) -> tuple[bytes, Block] | None:
        """Add the next entry; return a block's bytes when one is full."""
        entries = self._entries
        entries.append(entry)
        if entry.extents or entry.xattrs or entry.xattrs64 or len(entry.chunks) > LIGHT:
            self._heavy += _estimated_bytes(entry)
            if self._heavy > BLOCK_BYTES:
                if len(entries) == 1:
                    return self.flush()
                entries.pop()
                full = self.flush()
                entries = self._entries = [entry]
                self._heavy = _estimated_bytes(entry)
                return full
        count = len(entries)
        if count < ENTRIES_LEAST:
            return None
        cut = crc32(entry.name.encode("utf-8", "surrogateescape")) & CUT_MASK == 0
        return self.flush() if cut or count >= ENTRIES_MOST else None

    def flush(self) -> tuple[bytes, Block] | None:
        """Return the last block's bytes, and a Block that still lacks its reference."""
        if not self._entries:
            return None
        first, first64 = text(self._entries[0].name)
        data = encode(self._entries)
        # the sealed bytes must decode to the same entries
        if decode_entries(data) != self._entries:
            raise Damaged("the index", "does not read back as it was written: this is a bug")
        block = Block(("", "", 0, 0, 0), len(self._entries), first, first64)
        self._entries = []
        self._heavy = 0
        return data, block


def _estimated_bytes(entry: Entry) -> int:
    """Return roughly how many bytes of an index a large entry takes."""
    attributes = (*entry.xattrs.items(), *entry.xattrs64.items())
    return (
        120 * len(entry.chunks)
        + 42 * len(entry.extents or ())
        + sum(len(name) + len(value) for name, value in attributes)
    )


def read_entries(blocks: list[Block], fetch: Fetch, archive: str) -> Iterator[Entry]:
    """Yield the entries of these blocks, in order; see `read_blocks`."""
    for _, entries in read_blocks(blocks, fetch, archive):
        yield from entries


def read_blocks(
    blocks: list[Block], fetch: Fetch, archive: str
) -> Iterator[tuple[Block, list[Entry]]]:
    """Yield these blocks with their entries, in order.

    Each segment is fetched once, and a few archives are read at the same time, because a backup
    after many others has its index in many. No two threads read the same archive. The blocks of a
    large index wait for their turn compressed. Raises Damaged, naming `archive`, whose index this
    is.
    """
    wanted: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, block in enumerate(blocks):
        wanted[block.chunk[1]][block.chunk[2]].append(number)
    large = sum(block.chunk[4] for block in blocks) > WAITING_MOST

    def cut(archive_id: str) -> list[tuple[int, bytes]]:
        pack: Pack = zstandard.ZstdCompressor(1).compress if large else bytes
        found = []
        for frame, numbers in sorted(wanted[archive_id].items()):
            segment = memoryview(fetch(archive_id, frame))
            for number in numbers:
                _, _, _, offset, length = blocks[number].chunk
                if offset + length > len(segment):
                    raise Damaged(archive, f"its index refers past the end of frame {frame}")
                found.append((number, pack(segment[offset : offset + length])))
        return found

    waiting: dict[int, bytes] = {}
    threads = ThreadPoolExecutor(ASKED_AT_ONCE)
    try:
        for found in threads.map(cut, sorted(wanted)):
            waiting.update(found)
    finally:
        threads.shutdown(cancel_futures=True)
    unpack: Pack = zstandard.ZstdDecompressor().decompress if large else bytes
    for number, block in enumerate(blocks):
        try:
            entries = decode_entries(unpack(waiting.pop(number)))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Damaged(archive, f"its index does not parse: {error}") from None
        first = (entries[0].path, entries[0].path64) if entries else None
        if len(entries) != block.entries or first != (block.first, block.first64):
            raise Damaged(archive, f"block {number} of its index is not as its manifest says")
        yield block, entries


def blocks_of(blocks: list[Block], paths: Iterable[str]) -> list[Block]:
    """Return the blocks that may have these paths, what is below them, and the folders above."""
    firsts = [order(untext(block.first, block.first64)) for block in blocks]
    ranges = [*pairwise([*firsts, b"\xff" * 5000])]
    wanted: set[int] = set()
    for path in paths:
        above = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        spans = [(order(path), order(path) + b"\1"), *((order(p), order(p)) for p in ["", *above])]
        if not path:
            return blocks
        for low, high in spans:
            wanted |= {
                number for number, (first, end) in enumerate(ranges) if first <= high and low < end
            }
    return [blocks[number] for number in sorted(wanted)]


def selected(entry: str, paths: Iterable[str]) -> bool:
    """Return whether an entry is one of these paths, or below one; no paths select everything."""
    return not paths or any(
        not path or entry == path or entry.startswith(path + "/") for path in paths
    )


class Usage:
    """Counter of the plaintext bytes that other archives are referred to for, each byte once.

    It keeps the referenced stretches of each segment. Usually that is a single one, so a TiB in
    which little changes costs about 60 MB of memory.
    """

    MERGED_AT = 1024

    def __init__(self, own: str) -> None:
        """Count for the referring archive with the id `own`."""
        self._own = own
        self._segments: defaultdict[str, dict[int, array[int]]] = defaultdict(dict)
        """Archive id -> frame -> start, end, start, end, …"""
        self._limits: dict[tuple[str, int], int] = {}
        """Length at which duplicates are merged, where it is not MERGED_AT."""
        # Chunks that were packed one after the other are referred to in the same order: their
        # stretches are counted as one.
        self._archive, self._frame, self._start, self._end = own, -1, 0, 0

    def add(self, reference: Reference) -> None:
        """Count one reference; those to the own archive are ignored."""
        _, archive, frame, offset, length = reference
        if offset == self._end and frame == self._frame and archive == self._archive:
            self._end += length
            return
        self._count()
        self._archive, self._frame, self._start, self._end = archive, frame, offset, offset + length

    def by_archive(self) -> dict[str, int]:
        """Return archive id -> bytes."""
        self._count()
        return {
            archive: sum(map(_length, map(_merged, segments.values())))
            for archive, segments in self._segments.items()
        }

    def _count(self) -> None:
        if self._archive != self._own and self._end > self._start:
            segments = self._segments[self._archive]
            stretches = segments.setdefault(self._frame, array("I"))
            stretches.extend((self._start, self._end))
            place = self._archive, self._frame
            if len(stretches) >= self._limits.get(place, self.MERGED_AT):
                segments[self._frame] = merged = _merged(stretches)
                self._limits[place] = max(2 * len(merged), self.MERGED_AT)
        self._start = self._end


def _merged(stretches: array[int]) -> array[int]:
    """Merge stretches that overlap or touch."""
    merged = array("I")
    for start, end in sorted(zip(stretches[::2], stretches[1::2], strict=True)):
        if merged and start <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged.extend((start, end))
    return merged


def _length(stretches: array[int]) -> int:
    return sum(stretches[1::2]) - sum(stretches[::2])
