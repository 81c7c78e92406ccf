"""Extents of a file: where it has data, and where holes are."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Extents = list[tuple[int, int]]
    """(offset, length) of each stretch of data, ascending."""

EXTENTS_MOST = 100_000
"""Largest number of extents of one entry: about 14 MB of the index, and 40 MB of memory with their
chunks."""
DATA_MOST = 8 << 40
"""Most bytes of data in one file: about what `vault.archive.ranges.REFERENCES_MOST` chunks of 1 MiB
hold."""


def data_extents(fd: int, found: os.stat_result) -> Extents:
    """Return the extents of an open file; raises OSError if it has more data than can be stored.

    If the answers of the filesystem make no sense, the file counts as data throughout.
    """
    size = found.st_size
    whole = [(0, size)] if size else []
    extents = whole
    if found.st_blocks * 512 < size:  # it has holes, or is compressed
        try:
            extents = _read_extents(fd, size)
        except OSError:
            extents = whole
    if sum(length for _, length in extents) > DATA_MOST:
        raise OSError(errno.EFBIG, f"has more than {DATA_MOST >> 40} TiB of data")
    return extents


def cut_off(extents: Extents, end: int) -> Extents:
    """Return the extents of a file that turned out to end at `end`."""
    return [(offset, min(length, end - offset)) for offset, length in extents if offset < end]


def _read_extents(fd: int, size: int) -> Extents:
    """Read the extents from the filesystem; fill the smallest holes if there are too many."""
    extents: Extents = []
    hole = end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                break
            raise
        if start >= size:
            break
        stop = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < end or stop <= start:
            raise OSError(errno.EIO, "the extents do not ascend")
        _append(extents, start, stop, hole)
        end = stop
        while len(extents) > EXTENTS_MOST:
            hole = max(4096, 2 * hole)
            kept, extents = extents, []
            for offset, length in kept:
                _append(extents, offset, offset + length, hole)
    return extents


def _append(extents: Extents, start: int, stop: int, hole: int) -> None:
    """Add an extent, merged with the previous one if the hole between them is at most `hole`."""
    if extents and start - sum(extents[-1]) <= hole:
        start = extents.pop()[0]
    extents.append((start, stop - start))
