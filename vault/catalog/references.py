"""References of backups to archives, in a temporary database: each chunk once, by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.archive.chunks import chunk_id
from vault.archive.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vault.archive.format import Reference

CACHE_KIB = 16 << 10
"""Memory before the database spills to its file."""


class References:
    """Table of references by archive and frame. A million chunks take about 90 MB of disk."""

    def __init__(self, folder: str = "") -> None:
        """Create the database, in `folder` if it can be written; raises VaultError."""
        self._db = Scratch(folder, cache_kib=CACHE_KIB)
        self._db.execute(
            "CREATE TABLE chunks (id TEXT, archive TEXT, frame INT, offset INT, length INT,"
            " PRIMARY KEY (archive, frame, offset, length, id)) WITHOUT ROWID"
        )

    def add(self, references: Iterable[Reference]) -> None:
        """Add references; raises VaultError if the temporary folder is full."""
        self._db.insert("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)", references)

    def frames(self, archive: str) -> list[int]:
        """Return the frames of an archive, by its id, that anything refers to."""
        statement = "SELECT DISTINCT frame FROM chunks WHERE archive = ?"
        return [frame for (frame,) in self._db.execute(statement, (archive,))]

    def wrong(self, archive: str, frame: int, plaintext: bytes, naming_key: bytes) -> Iterator[str]:
        """Yield the ids of chunks that a frame should have and does not."""
        view = memoryview(plaintext)
        statement = "SELECT offset, length, id FROM chunks WHERE archive = ? AND frame = ?"
        for offset, length, name in self._db.execute(statement, (archive, frame)):
            chunk = view[offset : offset + length]
            if len(chunk) != length or chunk_id(naming_key, chunk) != name:
                yield name

    def close(self) -> None:
        """Delete the database."""
        self._db.close()
