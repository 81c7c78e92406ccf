"""References of backups to archives, in a temporary database: each chunk once, by frame."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vault.archive.chunks import chunk_id
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vault.archive.format import Reference

CACHE_KIB = 16 << 10
"""Memory before the database spills to its file."""


class References:
    """Table of references by archive and frame. A million chunks take about 90 MB of disk."""

    def __init__(self, folder: str = "") -> None:
        """Create the file in `folder`, by default the system's folder for temporary files."""
        self._folder = folder or tempfile.gettempdir()
        with self._named():
            file, path = tempfile.mkstemp(prefix=".packrat-verify-", dir=self._folder)
            os.close(file)
            try:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                for pragma in ("journal_mode = OFF", "synchronous = OFF", "mmap_size = 0"):
                    self._db.execute(f"PRAGMA {pragma}")
                self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                self._db.execute(
                    "CREATE TABLE chunks (archive TEXT, frame INT, offset INT, length INT,"
                    " id TEXT, PRIMARY KEY (archive, frame, offset, length, id)) WITHOUT ROWID"
                )
            finally:
                # the open file stays usable, and is deleted with the process
                with suppress(OSError):
                    os.unlink(path)

    def add(self, references: Iterable[Reference]) -> None:
        """Add references; raises VaultError if the temporary folder is full."""
        with self._named():
            self._db.execute("BEGIN")
            try:
                self._db.executemany(
                    "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)",
                    ((c[1], c[2], c[3], c[4], c[0]) for c in references),
                )
            finally:  # reading references may fail as well
                self._db.execute("COMMIT")

    def frames(self, archive: str) -> list[int]:
        """Return the frames of an archive, by its id, that anything refers to."""
        statement = "SELECT DISTINCT frame FROM chunks WHERE archive = ?"
        with self._named():
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

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VaultError(
                f"cannot write a temporary file in {self._folder}: {reason}",
                "make room there, or set TMPDIR to a folder that has room",
            ) from error
