"""SQLite file that may be lost, read-only or damaged at any time, and never stops a command.

No part of the file is mapped into memory: a rollback journal needs no shared memory, unlike a WAL,
and touching a mapped page that a full disk cannot back ends the process with SIGBUS.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Prepare = Callable[[sqlite3.Connection], None]
"""Function that creates the tables."""

ENDS = ("", "-journal", "-wal", "-shm")
"""Suffixes of the files that belong to a database."""
BUSY_SECONDS = 30
USABLE = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
    )
)
"""Errors that do not question the content of the file, which is left alone."""
DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
"""Errors that prove damage."""


class SqliteFile:
    """Database that several threads may use; each statement is its own transaction."""

    def __init__(self, path: str, prepare: Prepare, *, aside: bool = False) -> None:
        """Open or create the file; with `aside`, work on a copy in memory."""
        self._path = path
        self._prepare = prepare
        self._lock = threading.RLock()
        self._db = copied(path, prepare) if aside else opened(path, prepare, disposable=True)
        self._in_memory = aside

    def ask(self, row: Any, statement: str, *values: object) -> list[Any]:
        """Return the rows of a query that have the type `row`; none if the query fails."""
        rows = []
        for found in self._execute(statement, values):
            with suppress(msgspec.ValidationError):
                rows.append(msgspec.convert(found, row))
        return rows

    def note(self, statement: str, *values: object) -> None:
        """Write, if that is possible now."""
        self._execute(statement, values)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the notes made in this context in one transaction: one sync instead of one each."""
        with self._lock:
            self.note("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                if self._db.in_transaction:
                    self.note("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        """Return the rows of a statement; if it fails, recover the file and try once more."""
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                self._recover(error)
            with suppress(sqlite3.Error):
                return self._db.execute(statement, values).fetchall()
            return []

    def _recover(self, error: sqlite3.DatabaseError) -> None:
        """Recreate a damaged file; continue in memory if that, or reading, is impossible."""
        with suppress(sqlite3.Error):
            self._db.close()
        if not self._in_memory and _code(error) not in USABLE:
            with suppress(OSError, sqlite3.Error):
                _remove(self._path)
                self._db = _connect(self._path, self._prepare)
                return
        self._in_memory = True
        self._db = copied(self._path, self._prepare)


def opened(path: str, prepare: Prepare, *, disposable: bool = False) -> sqlite3.Connection:
    """Open or create the file. Recreate a damaged one; if that fails, work in memory.

    A `disposable` file is also recreated if SQLite fails to read it for another reason.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return _connect(path, prepare)
    except OSError:
        return copied(path, prepare)
    except sqlite3.DatabaseError as error:
        code = _code(error)
        if code in DAMAGED or (disposable and code not in USABLE):
            with suppress(OSError, sqlite3.Error):
                _remove(path)
                return _connect(path, prepare)
        return copied(path, prepare)


def copied(path: str, prepare: Prepare) -> sqlite3.Connection:
    """Copy the file into memory if it is readable and intact, else start with an empty database."""
    copy = _connect(":memory:", lambda _: None)
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as file:
            file.backup(copy)
        [(verdict,)] = copy.execute("PRAGMA quick_check(1)")
        if verdict == "ok":
            prepare(copy)
            return copy
    except sqlite3.Error:
        pass
    copy.close()
    return _connect(":memory:", prepare)


def _connect(path: str, prepare: Prepare) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA mmap_size = 0")
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA synchronous = NORMAL")
        prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary error code; text that does not decode counts as damage."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _remove(path: str) -> None:
    for end in ENDS:
        with suppress(FileNotFoundError):
            os.unlink(path + end)
