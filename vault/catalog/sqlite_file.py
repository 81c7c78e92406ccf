"""A cache in SQLite: a file that may be lost, read-only or damaged, and never stops anything."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import quote

Prepare = Callable[[sqlite3.Connection], None]
"""Makes the tables."""


def opened(path: str, prepare: Prepare) -> sqlite3.Connection:
    """Open, or make, the file; one that is damaged is made anew, one in vain is copied."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return _connect(path, prepare)
    except (OSError, sqlite3.OperationalError):
        return copied(path, prepare)
    except sqlite3.DatabaseError:
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path + end)
        return _connect(path, prepare)


def copied(path: str, prepare: Prepare) -> sqlite3.Connection:
    """Copy the file into memory, as far as it can be read."""
    copy = _connect(":memory:", lambda _: None)
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as file,
    ):
        file.backup(copy)
    prepare(copy)
    return copy


def _connect(path: str, prepare: Prepare) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    prepare(db)
    return db
