"""Chunks: where a large file is cut, how a chunk is named, and which ones are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

from vault.archive.format import CHUNK_AVERAGE, SEGMENT_BYTES, Reference
from vault.archive.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHUNK_LEAST, CHUNK_MOST = CHUNK_AVERAGE >> 2, SEGMENT_BYTES
FINE_AVERAGE = 64 << 10
"""Average of the parts into which chunks of a large file that changes inside are cut."""
ID_BYTES = 16
RECENT_MOST = 100_000


def chunk_id(naming_key: bytes, data: bytes | memoryview) -> str:
    """Return the name of a chunk, derived from its content: keyed BLAKE3, 16 bytes, in hex."""
    return blake3(data, key=naming_key).hexdigest(ID_BYTES)


class Cutter:
    """Cutter of one stream of data where its content says so (FastCDC).

    A cut depends only on the bytes since the last one, so data inserted or removed changes only the
    chunks around it. A chunk has from a quarter of the average to four times as many bytes.
    """

    def __init__(self, average: int = CHUNK_AVERAGE) -> None:
        from pyfastcdc import FastCDC

        self._fastcdc = FastCDC(avg_size=average, min_size=average >> 2, max_size=average << 2)

    def cut(self, data: bytes | memoryview) -> list[memoryview]:
        """Cut data; the last piece ends where the data does, so its cut is not a true one."""
        if not data:
            return []
        view = memoryview(data)
        return [
            view[chunk.offset : chunk.offset + chunk.length]
            for chunk in self._fastcdc.cut_buf(data)
        ]


class KnownChunks:
    """Table of known chunks: all that the parent refers to, and those that this run stored.

    It is in a private SQLite file that is deleted with it, so that memory use stays small. The
    parent's chunks are loaded at the first lookup: a run in which nothing changed never needs them.
    """

    def __init__(self, parent: Callable[[], Iterable[Reference]], scratch: str = "") -> None:
        """Load the references that `parent` yields; `scratch` is the folder for temporary data."""
        self._parent: Callable[[], Iterable[Reference]] | None = parent
        self._recent: dict[str, Reference] = {}
        self._empty = True
        self._db = Scratch(scratch, cache_kib=32768)
        self._db.execute(
            "CREATE TABLE chunks (id TEXT PRIMARY KEY, archive TEXT, frame INT, offset INT,"
            " length INT) WITHOUT ROWID"
        )

    def find(self, chunk: str) -> Reference | None:
        """Return the reference of a chunk, None if it is unknown."""
        if found := self._recent.get(chunk):
            return found
        if self._parent:
            parent, self._parent = self._parent, None
            self._insert(parent())
        if self._empty:  # as in a first backup, where every chunk would cost a query
            return None
        query = "SELECT * FROM chunks WHERE id = ?"
        row: Reference | None = self._db.execute(query, (chunk,)).fetchone()
        return row

    def add(self, reference: Reference) -> None:
        """Add a chunk that this run stored."""
        self._recent[reference[0]] = reference
        if len(self._recent) >= RECENT_MOST:
            self._insert(self._recent.values())
            self._recent.clear()

    def close(self) -> None:
        """Delete the file."""
        self._db.close()

    def _insert(self, references: Iterable[Reference]) -> None:
        self._db.insert("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)", references)
        self._empty = not self._db.execute("SELECT 1 FROM chunks LIMIT 1").fetchone()
