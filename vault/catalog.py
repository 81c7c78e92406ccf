"""What a destination holds of a service, and which of it are backups.

A *backup* is an archive whose every referenced archive stands with its expected size at the same
destination. Any other archive is a *base*; one under another key is *locked*.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from vault.archive import Archive
from vault.errors import Away, Damaged, NotThere, WrongKey
from vault.format import Manifest, Summary, encode

if TYPE_CHECKING:
    from vault.destination import Destination, Stored
    from vault.keys import Keys

CACHE_VERSION = 1


@dataclass(slots=True)
class Held:
    """An archive at a destination; `summary` is None where `problem` says why."""

    stored: Stored
    summary: Summary | None = None
    problem: str = ""
    locked: bool = False


@dataclass(slots=True)
class Catalog:
    """All archives of one service at one destination, oldest first."""

    destination: Destination
    service: str
    held: list[Held] = field(default_factory=list)

    @property
    def standing(self) -> dict[str, Held]:
        """Archive id -> what can be referred to."""
        return {held.summary.id: held for held in self.held if held.summary}

    @property
    def backups(self) -> list[Held]:
        """Give the archives that restore from here alone, oldest first."""
        standing = self.standing
        return [held for held in self.held if held.summary and not missing(held.summary, standing)]

    def open(self, name: str, keys: Keys) -> Archive:
        """Open an archive here; raises Away, NotThere, Damaged, WrongKey."""
        return open_archive(self.destination, self.service, name, keys)


def missing(summary: Summary, standing: dict[str, Held]) -> list[str]:
    """Give the names of referenced archives that do not stand with their expected size."""
    return [
        other.name
        for other in summary.archives
        if other.id not in standing or standing[other.id].stored.size != other.size
    ]


def whole(summary: Summary, standing: dict[str, Held]) -> bool:
    """Say whether everything that an archive refers to stands."""
    return not missing(summary, standing)


def open_archive(
    destination: Destination, service: str, name: str, keys: Keys, at: str = ""
) -> Archive:
    """Open the archive called `name`, which stands as file `at` when that is given."""

    def read(offset: int, length: int) -> bytes:
        return destination.read(service, at or name, offset, length)

    size = destination.size(service, at or name)
    return Archive(read, size, name, keys, f"{destination.name}:{service}/{name}")


def look_in_spool(spool: Catalog, keys: Keys) -> Catalog:
    """Give what waits in the spool; it is not remembered, and may be gone the next time."""
    catalog = Catalog(spool.destination, spool.service)
    for stored in spool.destination.archives(spool.service):
        catalog.held.append(_look(catalog, stored, keys))
    return catalog


class CatalogCache:
    """Summaries of archives that were opened once, in SQLite. A cache: may be lost any time."""

    def __init__(self, path: str, *, aside: bool = False) -> None:
        """Open, or make, the file; one that is damaged is made anew.

        `aside` leaves the file as it is and works on a copy in memory. So does a disk that is full
        or read-only: nobody should need room for a cache to restore.
        """
        self._db = _copied(path) if aside else _opened(path)

    def catalog(self, destination: Destination, service: str, keys: Keys) -> Catalog:
        """List a destination and open what is new there.

        Raises Away also when the destination held backups and now lists nothing at all: that is
        an unmounted disk far more often than an empty one.
        """
        stored = destination.archives(service)
        place = (_place(destination), service)
        rows = self._db.execute(
            "SELECT name, size, key, summary FROM archives WHERE destination = ? AND service = ?",
            place,
        )
        known = {(name, size): (key, summary) for name, size, key, summary in rows}
        if known and not stored:
            raise Away(
                f"destination {destination.name} ({destination.root}) held backups of {service}"
                f" ({len(known)}) and now lists none",
                "is its disk mounted? If they were deleted on purpose: packrat check --connect",
            )
        catalog = Catalog(destination, service)
        for one in stored:
            summary = _recall(keys, *known.pop((one.name, one.size), (b"", b"")))
            held = Held(one, summary) if summary else _look(catalog, one, keys)
            catalog.held.append(held)
            if held.summary and not summary:
                self._note(
                    "INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?)",
                    *(*place, one.name, one.size, keys.key_id, encode(held.summary)),
                )
        for name, size in known:
            self._note(
                "DELETE FROM archives WHERE destination = ? AND service = ? AND name = ?"
                " AND size = ?",
                *(*place, name, size),
            )
        return catalog

    def forget(self, destination: Destination) -> None:
        """Accept that a destination lists less than it held."""
        self._db.execute("DELETE FROM archives WHERE destination = ?", (_place(destination),))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _note(self, statement: str, *values: object) -> None:
        with suppress(sqlite3.OperationalError):  # no room, no right: then not, this time
            self._db.execute(statement, values)


def _opened(path: str) -> sqlite3.Connection:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return _connect(path)
    except (OSError, sqlite3.OperationalError):
        return _copied(path)
    except sqlite3.DatabaseError:
        os.unlink(path)
        return _connect(path)


def _copied(path: str) -> sqlite3.Connection:
    """Copy the file into memory, as far as it can be read."""
    copy = _connect(":memory:")
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as file,
    ):
        file.backup(copy)
    return _prepare(copy)


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return _prepare(db)


def _prepare(db: sqlite3.Connection) -> sqlite3.Connection:
    """Make the table; one of another version goes."""
    if db.execute("PRAGMA user_version").fetchone() != (CACHE_VERSION,):
        db.execute("DROP TABLE IF EXISTS archives")
        db.execute(f"PRAGMA user_version = {CACHE_VERSION}")
    db.execute(
        "CREATE TABLE IF NOT EXISTS archives (destination TEXT, service TEXT, name TEXT,"
        " size INT, key BLOB, summary BLOB, PRIMARY KEY (destination, service, name))"
    )
    return db


def _look(catalog: Catalog, one: Stored, keys: Keys) -> Held:
    """Open an archive and say what it is."""
    try:
        manifest = catalog.open(one.name, keys).manifest
    except WrongKey as error:
        return Held(one, problem=str(error), locked=True)
    except (Damaged, NotThere) as error:
        return Held(one, problem=str(error))
    return Held(one, _summary(manifest))


def _place(destination: Destination) -> str:
    return f"{destination.name}={destination.root}"


def _recall(keys: Keys, key: bytes, cached: bytes) -> Summary | None:
    """Give a cached summary, if it was made under these keys and by this version."""
    if key != keys.key_id:
        return None
    try:
        return msgspec.json.decode(cached, type=Summary)
    except msgspec.MsgspecError:
        return None


def _summary(manifest: Manifest) -> Summary:
    fields = {name: getattr(manifest, name) for name in Summary.__struct_fields__}
    return Summary(**fields)
