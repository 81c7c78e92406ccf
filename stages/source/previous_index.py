"""The index of the parent, read from any destination that has it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import zstandard

from vault.archive.index import read_blocks
from vault.errors import NotThere, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vault.archive.format import Block, Entry, Reference
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog

AHEAD_ENTRIES = 100_000
"""Entries that are decoded ahead; about 70 MB."""


class PreviousIndex:
    """Reader of the parent's index, once or several times; empty without a parent."""

    def __init__(
        self, service: str, parent: Archive | None, catalogs: list[Catalog], keys: Keys
    ) -> None:
        """Read from `catalogs`, the nearest first."""
        self._service, self._parent, self._catalogs, self._keys = service, parent, catalogs, keys
        self._opened: dict[tuple[str, str], Archive] = {}
        self._segments: dict[tuple[str, int], bytes] = {}
        """(archive id, frame) -> the fetched segment, compressed."""
        self._keep = False
        self._ahead: Iterator[tuple[Block, list[Entry]]] | None = None

    def keep(self) -> None:
        """Keep what is fetched from now on, because it will be read again soon."""
        self._keep = True

    def read_ahead(self, check: Callable[[], None]) -> None:
        """Decode the beginning, so that the next call of `blocks` does not wait."""
        self.keep()
        blocks, ahead, entries = self.blocks(), [], 0  # the first block fetches for all
        while entries < AHEAD_ENTRIES and (block := next(blocks, None)):
            check()
            ahead.append(block)
            entries += len(block[1])
        self._ahead = chain(ahead, blocks)

    def blocks(self) -> Iterator[tuple[Block, list[Entry]]]:
        """Return the blocks of the index with their entries; raises VaultError."""
        ahead, self._ahead = self._ahead, None
        if ahead is None and self._parent:
            ahead = read_blocks(self._parent.manifest.index, self._fetch, self._parent.where)
        return ahead or iter(())

    def references(self) -> Iterator[Reference]:
        """Yield the references of all entries; raises VaultError."""
        if self._parent:
            index = self._parent.manifest.index
            for _, entries in read_blocks(index, self._fetch, self._parent.where):
                for entry in entries:
                    yield from entry.chunks

    def _fetch(self, archive_id: str, number: int) -> bytes:
        if (archive_id, number) in self._segments:
            return zstandard.decompress(self._segments[archive_id, number])
        segment = self._read(archive_id, number)
        if self._keep:
            self._segments[archive_id, number] = zstandard.compress(segment, 1)
        return segment

    def _read(self, archive_id: str, number: int) -> bytes:
        """Read an index segment from any destination that has it undamaged; raises VaultError."""
        failed: VaultError = NotThere(f"no destination has archive {archive_id}")
        for catalog in self._catalogs:
            if item := catalog.referable.get(archive_id):
                at = (catalog.destination.name, archive_id)
                try:
                    if at not in self._opened:
                        self._opened[at] = catalog.open(item.stored.name, self._keys)
                    return self._opened[at].frame(number, b"i")
                except VaultError as error:
                    failed = error
        failed.hint = f"packrat backup --full {self._service} builds on no older backup"
        raise failed
