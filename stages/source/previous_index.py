"""The index of the parent, read from any destination that has it."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from vault.archive.index import blocks_of, read_blocks, read_entries, read_layout
from vault.archive.lists import ChunkLists
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stages.replicas import Replicas
    from vault.archive.format import Block, Entry, Reference

AHEAD_ENTRIES = 100_000
"""Entries that are decoded ahead; about 70 MB."""


class PreviousIndex:
    """Reader of the parent's index, once or several times; empty without a parent."""

    def __init__(self, service: str, replicas: Replicas | None = None) -> None:
        """Read from the replicas of the parent."""
        self._service, self._replicas = service, replicas
        self._parent = parent = replicas.backup if replicas else None
        self._ahead: Iterator[tuple[Block, Sequence[Entry]]] | None = None
        self.lists = ChunkLists(self._fetch, parent.where if parent else "")
        """Reader of the chunks of its large files."""
        self.lists_of_blocks = parent.manifest.index if parent else []

    @cached_property
    def layout(self) -> list[Block]:
        """Blocks of the index; raises VaultError."""
        where = self._parent.where if self._parent else ""
        return read_layout(self.lists_of_blocks, self._fetch, where)

    def keep(self) -> None:
        """Keep what is fetched from now on, because it will be read again soon."""
        if self._replicas:
            self._replicas.remember_index()

    def read_ahead(self, check: Callable[[], None]) -> None:
        """Decode the beginning, so that the next call of `blocks` does not wait."""
        self.keep()
        blocks, ahead, entries = self.blocks(), [], 0  # the first block fetches for all
        while entries < AHEAD_ENTRIES and (block := next(blocks, None)):
            check()
            ahead.append(block)
            entries += len(block[1])
        self._ahead = chain(ahead, blocks)

    def blocks(self) -> Iterator[tuple[Block, Sequence[Entry]]]:
        """Return the blocks of the index with their entries; raises VaultError."""
        ahead, self._ahead = self._ahead, None
        return ahead or self._all()

    def files_below(self, folder: str) -> int:
        """Return how many files the parent has below a folder; raises VaultError."""
        blocks = blocks_of(self.layout, [folder]) if self._parent else []
        where = self._parent.where if self._parent else ""
        return sum(
            entry.type != "dir" and entry.name.startswith(f"{folder}/")
            for entry in read_entries(blocks, self._fetch, where)
        )

    def references(self) -> Iterator[Reference]:
        """Yield the references of all chunks; raises VaultError."""
        for _, entries in self._all():
            for entry in entries:
                yield from self.lists.references(entry)

    def chunk_lists(self) -> Iterator[Reference]:
        """Yield the references of all chunk lists; raises VaultError."""
        for _, entries in self._all():
            for entry in entries:
                yield from entry.lists

    def _all(self) -> Iterator[tuple[Block, Sequence[Entry]]]:
        if self._parent:
            yield from read_blocks(self.layout, self._fetch, self._parent.where)

    def _fetch(self, archive_id: str, number: int) -> bytes:
        """Read an index segment from any destination that has it undamaged; raises VaultError."""
        assert self._replicas
        try:
            return self._replicas.index(archive_id, number, lambda: None)
        except VaultError as error:
            error.hint = f"packrat backup --full {self._service} builds on no older backup"
            raise
