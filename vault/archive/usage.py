"""Usage: plaintext bytes of other archives that an archive refers to, each byte once."""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vault.archive.format import Reference


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
