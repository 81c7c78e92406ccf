"""Index of an archive for its readers: every entry, in the order of the walk, in blocks."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import msgspec
import zstandard

from vault.archive.format import Block, decode_blocks, decode_entries, decode_entry, order, untext
from vault.archive.ranges import BLOCK_BYTES, LIST_MOST
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vault.archive.format import Entry, Reference

    Fetch = Callable[[str, int], bytes]
    """(archive id, frame number) -> plaintext of that index segment; called by several threads."""
    Pack = Callable[[bytes | memoryview], bytes]

Decoded = TypeVar("Decoded")

WAITING_MOST = 32 << 20
ASKED_AT_ONCE = 4
"""Archives read at the same time; a segment of each takes some MiB of memory."""


def read_layout(lists: Sequence[Reference], fetch: Fetch, archive: str) -> list[Block]:
    """Return the blocks of an index from its block lists; see `read_blocks`."""
    blocks: list[Block] = []
    for place, data in zip(lists, _read_parts(lists, fetch, archive), strict=True):
        found = _decoded(decode_blocks, data, archive)
        if not 0 < len(found) <= LIST_MOST or (place[4] > BLOCK_BYTES and len(found) > 1):
            raise Damaged(archive, "a list of its index is larger than the format allows")
        blocks += found
    return blocks


def read_entries(blocks: list[Block], fetch: Fetch, archive: str) -> Iterator[Entry]:
    """Yield the entries of these blocks, in order; see `read_blocks`."""
    for _, entries in read_blocks(blocks, fetch, archive):
        yield from entries


def read_blocks(
    blocks: list[Block], fetch: Fetch, archive: str
) -> Iterator[tuple[Block, Sequence[Entry]]]:
    """Yield these blocks with their entries, in order.

    Each segment is fetched once, and a few archives are read at the same time, because a backup
    after many others has its index in many. No two threads read the same archive. The blocks of a
    large index wait for their turn compressed. Raises Damaged, naming `archive`, whose index this
    is.
    """
    places = [block.chunk for block in blocks]
    parts = _read_parts(places, fetch, archive)
    for number, (block, data) in enumerate(zip(blocks, parts, strict=True)):
        entries: Sequence[Entry]
        if len(data) > BLOCK_BYTES:  # fails before it has decoded a million entries
            entries = [*_decoded(decode_entry, data, archive)]
        else:
            entries = _decoded(decode_entries, data, archive)
        first = (entries[0].path, entries[0].path64) if entries else None
        if len(entries) != block.entries or first != (block.first, block.first64):
            raise Damaged(archive, f"block {number} of its index is not as its list says")
        yield block, entries


def _read_parts(places: Sequence[Reference], fetch: Fetch, archive: str) -> Iterator[bytes]:
    """Yield the bytes at these places in index segments, in order."""
    wanted: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, place in enumerate(places):
        wanted[place[1]][place[2]].append(number)
    large = sum(place[4] for place in places) > WAITING_MOST

    def cut(archive_id: str) -> list[tuple[int, bytes]]:
        pack: Pack = zstandard.ZstdCompressor(1).compress if large else bytes
        found = []
        for frame, numbers in sorted(wanted[archive_id].items()):
            segment = memoryview(fetch(archive_id, frame))
            for number in numbers:
                _, _, _, offset, length = places[number]
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
    for number in range(len(places)):
        yield unpack(waiting.pop(number))


def _decoded(decode: Callable[[bytes], Decoded], data: bytes, archive: str) -> Decoded:
    try:
        return decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Damaged(archive, f"its index does not parse: {error}") from None


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
