"""Files of one backup, which read only those parts of its index that are needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from vault.archive.contents import Contents
from vault.archive.index import read_blocks, read_layout
from vault.archive.lists import read_list
from vault.archive.lookup import BlockCache, Lookup
from vault.archive.segments import SegmentCache, Segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vault.archive.format import Block, Entry, Manifest, Reference
    from vault.archive.keys import Keys


class Backup(Protocol):
    """Backup that is open."""

    where: str
    manifest: Manifest
    keys: Keys

    def segment(self, is_index: bool, archive_id: str, number: int) -> bytes:  # noqa: FBT001
        """Return the plaintext of a segment; called by several threads. Raises VaultError."""


class Tree:
    """Files of one backup. Every method raises VaultError."""

    def __init__(self, backup: Backup, segments: SegmentCache, blocks: BlockCache) -> None:
        """Read through caches that other backups may share."""
        self.manifest, self.where, self.key_id = backup.manifest, backup.where, backup.keys.key_id
        self._segments, self._blocks = Segments(backup.segment, segments), blocks

    @cached_property
    def lookup(self) -> Lookup:
        """Lookup of entries by path."""
        return Lookup(self.manifest.index, self._segments.index, self.where, self._blocks)

    def layout(self, lists: Sequence[Reference]) -> list[Block]:
        """Return the blocks in some of the block lists."""
        return read_layout(lists, self._segments.index, self.where)

    def entries(self, blocks: list[Block]) -> Iterator[tuple[Block, Sequence[Entry]]]:
        """Yield some blocks with their entries."""
        return read_blocks(blocks, self._segments.index, self.where)

    def chunks(self, entry: Entry) -> list[str]:
        """Return the ids of the chunks of an entry."""
        lists = (read_list(one, self._segments.index, self.where) for one in entry.lists)
        return [chunk[0] for part in (entry.chunks, *lists) for chunk in part]

    def contents(self, entry: Entry) -> Contents:
        """Return the content of a file."""
        return Contents(entry, self._segments, self.where)
