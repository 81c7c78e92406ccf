"""Blocks of the index while it is written, cut where the paths of their entries say so."""

from __future__ import annotations

from zlib import crc32

from vault.archive.format import Block, Entry, decode_entries, encode, text
from vault.archive.ranges import BLOCK_BYTES, BLOCK_ENTRIES
from vault.errors import Damaged

ENTRIES_LEAST, CUT_MASK = 32, 31
"""A block has about 64 entries."""


class BlockCutter:
    """Collector of entries that cuts them into blocks where their paths say so."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """True if a block begins with the next entry."""
        return not self._entries

    def add(self, entry: Entry) -> list[tuple[bytes, Block]]:
        """Add the next entry; return the blocks that are complete, with their bytes."""
        size, full = _most_bytes(entry), []
        if self._entries and self._bytes + size > BLOCK_BYTES:
            full = self.flush()
        self._entries.append(entry)
        self._bytes += size
        count = len(self._entries)
        cut = count >= ENTRIES_LEAST and (
            crc32(entry.name.encode("utf-8", "surrogateescape")) & CUT_MASK == 0
        )
        return full + self.flush() if cut or count >= BLOCK_ENTRIES else full

    def flush(self) -> list[tuple[bytes, Block]]:
        """Return the last block, which still lacks its reference, with its bytes; or nothing."""
        entries, self._entries, self._bytes = self._entries, [], 0
        if not entries:
            return []
        first, first64 = text(entries[0].name)
        data = encode(entries)
        # the sealed bytes must decode to the same entries
        if decode_entries(data) != entries:
            raise Damaged("the index", "does not read back as it was written: this is a bug")
        return [(data, Block(("", "", 0, 0, 0), len(entries), first, first64))]


def _most_bytes(entry: Entry) -> int:
    """Return the most bytes that an entry can take in a block."""
    size = 700 + 6 * len(entry.path or entry.path64 or "")  # JSON escapes a byte with 6 at most
    if entry.chunks or entry.lists:
        size += 105 * (len(entry.chunks) + len(entry.lists))
    if entry.target or entry.target64:
        size += 6 * len(entry.target or entry.target64 or "")
    if entry.extents:
        size += 42 * len(entry.extents)
    for name, value in (*entry.xattrs.items(), *entry.xattrs64.items()):
        size += 6 * len(name) + len(value) + 6
    return size
