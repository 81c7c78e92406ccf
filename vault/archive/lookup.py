"""Lookup in the index of one backup: an entry by its path, and what is in a folder."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from vault.archive.check_entry import Implausible, check_entry
from vault.archive.format import order, untext
from vault.archive.index import read_blocks, read_layout
from vault.archive.shared_cache import SharedCache
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vault.archive.format import Block, Entry, Reference

    Fetch = Callable[[str, int], bytes]
    """(archive id, frame number) -> plaintext of that index segment; called by several threads."""
    Decoded = tuple[list[bytes], Sequence[Entry]]
    """Keys and entries of a block."""

KEPT_ENTRIES = 32 << 10
"""Entries of decoded blocks that are kept, about 40 MB."""


class BlockCache(SharedCache[str, "Decoded"]):
    """Cache of decoded index blocks, bounded by their entries; several backups may share it."""

    def __init__(self) -> None:
        super().__init__(KEPT_ENTRIES, lambda block: len(block[1]))


class Lookup:
    """Random access to the entries of an index; only the blocks that are needed are read."""

    def __init__(
        self, lists: Sequence[Reference], fetch: Fetch, archive: str, cache: BlockCache
    ) -> None:
        """Read the block lists; errors name `archive`. Raises VaultError."""
        self._fetch, self._archive, self._cache = fetch, archive, cache
        self._blocks: list[Block] = read_layout(lists, fetch, archive)
        self._firsts = [order(untext(block.first, block.first64)) for block in self._blocks]
        self._require_order(self._firsts)

    def entry(self, path: str) -> Entry | None:
        """Return the entry at a path, None if there is none; raises VaultError."""
        key = order(path)
        keys, entries = self._block(max(bisect_right(self._firsts, key) - 1, 0))
        at = bisect_left(keys, key)
        return self._checked(entries[at]) if keys[at : at + 1] == [key] else None

    def children(self, folder: str) -> Iterator[Entry]:
        """Yield the entries directly in a folder, in order; raises VaultError.

        Everything below a subfolder is one range of the index, which is skipped unread.
        """
        key = order(folder) + b"\0" if folder else b"\0"
        end = order(folder) + b"\1" if folder else None
        number = max(bisect_right(self._firsts, key) - 1, 0)
        while number < len(self._blocks):
            keys, entries = self._block(number)
            at = bisect_left(keys, key)
            if at == len(keys):
                number = max(number + 1, bisect_right(self._firsts, key) - 1)
                continue
            if end is not None and keys[at] >= end:
                return
            entry = self._checked(entries[at])
            if "/" in entry.name[len(folder) + bool(folder) :]:
                raise Damaged(self._archive, f"{entry.name!r} is in no folder")
            yield entry
            key = keys[at] + (b"\1" if entry.type == "dir" else b"\0")
            number = max(number, bisect_right(self._firsts, key) - 1)

    def _block(self, number: int) -> Decoded:
        if not self._blocks:
            return [], []
        block = self._blocks[number]

        def decode() -> Decoded:
            [(_, entries)] = read_blocks([block], self._fetch, self._archive)
            keys = [order(entry.name) for entry in entries]
            self._require_order(keys)
            return keys, entries

        return self._cache.get(block.chunk[0], decode)

    def _require_order(self, keys: list[bytes]) -> None:
        if any(one >= other for one, other in pairwise(keys)):
            raise Damaged(self._archive, "its index is out of order")

    def _checked(self, entry: Entry) -> Entry:
        try:
            check_entry(entry)
        except Implausible as wrong:
            raise Damaged(self._archive, f"{entry.name!r} {wrong}") from None
        return entry
