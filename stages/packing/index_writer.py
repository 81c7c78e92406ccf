"""Writer of the index: blocks and block lists, those of the parent again where they are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.archive.blocks import BlockCutter
from vault.archive.chunks import chunk_id
from vault.archive.lists import list_blocks

if TYPE_CHECKING:
    from collections.abc import Container

    from stages.packing.segments import Segments
    from stages.source.previous_index import PreviousIndex
    from vault.archive.format import Block, Entry, Reference
    from vault.archive.usage import Usage


class IndexWriter:
    """Index of one archive while it grows."""

    def __init__(
        self,
        segments: Segments,
        usage: Usage,
        index: PreviousIndex,
        usable: Container[str],
        naming_key: bytes,
    ) -> None:
        """Refer to blocks of the parent's `index` that are in `usable` archives."""
        self._segments, self._usage, self._key = segments, usage, naming_key
        self._cutter = BlockCutter()
        self._blocks: list[Block] = []
        places = [*(block.chunk for block in index.layout), *index.lists_of_blocks]
        self._known = {place[0]: place for place in places if place[1] in usable}

    def add(self, entry: Entry) -> None:
        """Add the next entry."""
        for data, block in self._cutter.add(entry):
            self._store_block(data, block)

    def keep(self, block: Block) -> bool:
        """Refer to a whole block of the parent; False if that is not possible here."""
        if not self._cutter.empty or block.chunk[0] not in self._known:
            return False
        self._usage.add(block.chunk)
        self._blocks.append(block)
        return True

    def finish(self) -> list[Reference]:
        """Store the rest; return the references of the block lists."""
        for data, block in self._cutter.flush():
            self._store_block(data, block)
        # Not among the blocks, so that a reader fetches no segment twice.
        self._segments.close(b"i")
        lists = [self._store(data) for data in list_blocks(self._blocks)]
        self._segments.close(b"i")
        return lists

    def _store_block(self, data: bytes, block: Block) -> None:
        block.chunk = self._store(data)
        self._blocks.append(block)

    def _store(self, data: bytes) -> Reference:
        """Store a block or a block list, unless the parent has the same."""
        name = chunk_id(self._key, data)
        place = self._known.get(name) or self._segments.store(b"i", name, data)
        self._usage.add(place)
        return place
