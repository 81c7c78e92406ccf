"""A copy of an archive from one destination to another, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault.store.base import Destination

RANGE_BYTES = 8 << 20
UNDER_WAY = 3
"""So many ranges may a receiver have taken at once: the line does not wait for the next one."""


class Source(Protocol):
    """What a destination receives from: the spool, or a copy."""

    path: str
    """The file that a local destination may link; empty when there is none."""

    def read(self, offset: int, length: int) -> bytes:
        """Read a range."""

    def claim(self) -> bool:
        """Say whether the asker may keep the file itself."""


class Copy:
    """An archive at a destination, read in ranges."""

    path = ""

    def __init__(self, source: Destination, service: str, name: str, size: int) -> None:
        self._source, self._service, self._name, self._size = source, service, name, size

    def read(self, offset: int, length: int) -> bytes:
        """Read a range; raises VaultError."""
        return self._source.read(self._service, self._name, offset, length)

    def claim(self) -> bool:
        """Say no: a copy is a copy."""
        return False

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Give (offset, length) of all of it."""
        for offset in range(0, self._size, RANGE_BYTES):
            yield offset, min(RANGE_BYTES, self._size - offset)
