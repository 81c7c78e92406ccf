"""Scratch tables in SQLite, for data too large for memory; deleted when closed."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX, SUFFIX = "scratch-", ".sqlite"
"""Around the name that the file has for a moment."""


class Scratch:
    """Private SQLite database in a file without a name. Used by one thread at a time."""

    def __init__(self, folder: str = "", *, cache_kib: int) -> None:
        """Create the file in `folder` if it can be written, else in the folder for temporary files.

        A temporary folder may be a small tmpfs, or on a full root disk, whereas packrat has room in
        the state folder. Raises VaultError.
        """
        self._folder = folder if folder and os.access(folder, os.W_OK | os.X_OK) else _temporary()
        if self._folder == folder:
            _clear(folder)
        try:
            fd, path = tempfile.mkstemp(prefix=PREFIX, suffix=SUFFIX, dir=self._folder)
        except OSError as error:
            raise self._full(error.strerror or "cannot be written") from None
        os.close(fd)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = OFF",
                "synchronous = OFF",
                # Otherwise SQLite would sort in the folder for temporary files.
                "temp_store = MEMORY",
                f"cache_size = -{cache_kib}",
            ):
                self._db.execute(f"PRAGMA {pragma}")
            # SQLite opens the file at the first access, which must be before it loses its name.
            self.execute("CREATE TABLE opened (n INT)")
        finally:
            with suppress(OSError):
                os.unlink(path)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Execute one statement; raises VaultError if the disk is full or fails."""
        try:
            return self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise self._full(str(error)) from None

    def insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute a statement for each row, in one transaction, unless one is open already.

        What was inserted stays if `rows` fails. Raises VaultError if the disk is full or fails.
        """
        own = not self._db.in_transaction
        if own:
            self.execute("BEGIN")
        try:
            self._db.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise self._full(str(error)) from None
        finally:
            if own and self._db.in_transaction:
                self.execute("COMMIT")

    def close(self) -> None:
        """Free the disk space."""
        self._db.close()

    def _full(self, reason: str) -> VaultError:
        return VaultError(
            f"cannot keep temporary data in {self._folder}: {reason}",
            "make room there, or set TMPDIR (or state_dir in the configuration) to a folder on"
            " another disk",
        )


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:  # none of the usual folders can be written
        raise VaultError(str(error.strerror or error), "set TMPDIR to a folder with room") from None


def _clear(folder: str) -> None:
    """Delete files that were not yet unlinked when their process was killed."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(PREFIX) and name.endswith(SUFFIX):
                os.unlink(os.path.join(folder, name))
