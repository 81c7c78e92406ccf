"""Segments of an archive while they fill with chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.items import Segment
from vault.archive.format import FIRST_SEGMENT, SEGMENT_BYTES

if TYPE_CHECKING:
    from vault.archive.format import Kind, Reference


class _Open:
    """Segment that is being filled."""

    def __init__(self) -> None:
        self.number = -1
        self.size = 0
        self.data: list[bytes | memoryview] = []


class Segments:
    """One open segment of each kind, and those that are full."""

    def __init__(self, own: str) -> None:
        """Fill segments of the archive with the id `own`."""
        self._own = own
        self._numbers = FIRST_SEGMENT
        self._open: dict[Kind, _Open] = {b"d": _Open(), b"i": _Open()}
        self._full: list[Segment] = []
        self.payload = 0
        """Bytes stored."""

    def store(self, kind: Kind, name: str, data: bytes | memoryview) -> Reference:
        """Append to the open segment, or to a new one if it would get too large."""
        if self._open[kind].size + len(data) > SEGMENT_BYTES:
            self.close(kind)
        segment = self._open[kind]
        if segment.number < 0:
            segment.number = self._numbers
            self._numbers += 1
        reference = (name, self._own, segment.number, segment.size, len(data))
        segment.data.append(data)
        segment.size += len(data)
        self.payload += len(data)
        return reference

    def close(self, kind: Kind) -> None:
        """Complete the open segment of this kind."""
        done = self._open[kind]
        if done.size:
            self._open[kind] = _Open()
            self._full.append(Segment(self._own, done.number, kind, tuple(done.data)))

    def take(self) -> list[Segment]:
        """Return the segments that are full, and forget them."""
        full, self._full = self._full, []
        return full
