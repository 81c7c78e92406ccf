"""Content of one file of a backup, read from any position."""

from __future__ import annotations

import threading
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from vault.archive.lists import read_list
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault.archive.format import Entry, Reference
    from vault.archive.segments import Segments

LOOK_AHEAD = 32
"""Chunks after the present one whose segments may be fetched ahead."""


class Contents:
    """Bytes of one file, as the service read them: holes are zeros. Safe to use by threads."""

    def __init__(self, entry: Entry, segments: Segments, archive: str) -> None:
        """Read an `entry` that was checked; errors name `archive`, whose index it is from."""
        self.size = entry.size
        self._entry, self._segments, self._archive = entry, segments, archive
        self._extents = entry.data
        lengths = (length for _, length in self._extents)
        self._starts = [0, *accumulate(lengths)]
        """Position in the data, which are the extents end to end, of each extent."""
        self._pages = [0]
        """Position in the data of each chunk list that was passed so far."""
        self._page: tuple[int, list[Reference], list[int]] = (-1, [], [])
        self._chunk: tuple[int, bytes] = (0, b"")
        """Position in the data, and bytes, of the chunk that was read last."""
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes; fewer only at the end of the file. Raises VaultError."""
        length = max(min(length, self.size - offset), 0)
        with self._lock:
            parts = [*self._stretches(offset, length)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _stretches(self, offset: int, length: int) -> Iterator[bytes]:
        end = offset + length
        number = max(bisect_right(self._extents, (offset, 1 << 63)) - 1, 0)
        for start, size in self._extents[number:]:
            if offset >= end or start >= end:
                break
            if offset < start:
                yield bytes(start - offset)
                offset = start
            at = self._starts[number] + offset - start
            stop = min(end, start + size) - offset
            while stop > 0:
                data = self._data(at, stop)
                yield data
                at, offset, stop = at + len(data), offset + len(data), stop - len(data)
            number += 1
        if offset < end:
            yield bytes(end - offset)

    def _data(self, at: int, most: int) -> bytes:
        """Return some bytes from a position of the data on, at most `most`."""
        start, chunk = self._chunk
        if not start <= at < start + len(chunk):
            in_order = at == start + len(chunk)
            start, chunk = self._chunk = self._read_chunk(at, LOOK_AHEAD * in_order)
        return chunk[at - start : at - start + most]

    def _read_chunk(self, at: int, ahead: int) -> tuple[int, bytes]:
        """Return the chunk at a position of the data, and its own position."""
        references, starts = self._page_at(at)
        number = bisect_right(starts, at) - 1
        if number >= len(references):
            raise Damaged(self._archive, f"{self._entry.name!r} has fewer chunks than its size")
        for later in references[number : number + ahead]:
            self._segments.ahead(later[1], later[2])
        _, archive, frame, offset, length = references[number]
        segment = self._segments.data(archive, frame)
        if offset + length > len(segment):
            raise Damaged(self._archive, f"{self._entry.name!r} refers past the end of a segment")
        return starts[number], segment[offset : offset + length]

    def _page_at(self, at: int) -> tuple[list[Reference], list[int]]:
        """Return the references around a position of the data, and their positions."""
        number = min(bisect_right(self._pages, at) - 1, max(len(self._entry.lists) - 1, 0))
        while True:
            if self._page[0] != number:
                self._page = number, *self._read_page(number)
            _, references, starts = self._page
            if len(self._pages) == number + 1:
                self._pages.append(starts[-1])
            if at < starts[-1] or number + 1 >= len(self._entry.lists):
                return references, starts
            number += 1

    def _read_page(self, number: int) -> tuple[list[Reference], list[int]]:
        entry, fetch = self._entry, self._segments.index
        references = entry.chunks
        if entry.lists:
            references = read_list(entry.lists[number], fetch, self._archive)
        lengths = (reference[4] for reference in references)
        return references, [*accumulate(lengths, initial=self._pages[number])]
