"""Cache of the archives at destinations: summaries, and the time of the last proof, in SQLite.

A summary is only trusted with its checksum: retention must not depend on a bit that flipped on the
disk of the state folder.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from vault.archive.format import ArchiveName, StatementName, decode_summary, encode
from vault.archive.statement import decode_statement
from vault.catalog.catalog import Catalog, Listed, examine
from vault.catalog.contained import contained
from vault.catalog.forgotten import take_out_forgotten
from vault.catalog.seen import remembered
from vault.catalog.sqlite_file import SqliteFile
from vault.errors import Away, VaultError
from vault.store.base import Stored, never, published

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from vault.archive.keys import Keys
    from vault.catalog.record import Record
    from vault.catalog.seen import Seen
    from vault.store.base import Check, Store

CACHE_VERSION = 3
LOOK_SECONDS = 1800.0
"""Longest time to open the archives of one listing: half of what ends a run without progress."""
SLOW = "opening the archives that it lists takes too long"
UNPROVEN = "was not read back yet after it was published"
TABLES = {
    "archives": "destination TEXT, service TEXT, name TEXT, size INT, key BLOB, summary BLOB,"
    " checksum BLOB, PRIMARY KEY (destination, service, name)",
    "proofs": "destination TEXT, service TEXT, name TEXT, size INT, time REAL, problem TEXT,"
    " PRIMARY KEY (destination, service, name)",
    "verified": "destination TEXT, service TEXT, time REAL, PRIMARY KEY (destination, service)",
}
_Row = tuple[str, int, bytes, bytes, bytes]
"""Name, size, key id, summary and checksum of an archive."""


class CatalogCache:
    """Cache of earlier listings of destinations. It may be lost at any time."""

    def __init__(self, path: str, *, aside: bool = False) -> None:
        """Open or create the file; with `aside`, work on a copy in memory.

        If a disk is full or read-only, the copy is used as well: restoring must not need space.
        """
        self._file = SqliteFile(path, _prepare, aside=aside)

    def catalog(
        self,
        destination: Store,
        service: str,
        keys: Keys,
        check: Check = never,
        *,
        marks: bool = True,
    ) -> Catalog:
        """List a destination and open what is new there.

        Without `marks`, an archive that was found damaged counts as undamaged, in order to prove it
        again. Raises Away, also for any unexpected exception, and if the destination had backups
        and now lists nothing at all: that is far more often an unmounted disk than an empty one.
        """
        with contained(destination):
            return self._catalog(destination, service, keys, check, marks=marks)

    def _catalog(
        self, destination: Store, service: str, keys: Keys, check: Check, *, marks: bool
    ) -> Catalog:
        files = destination.files(service, check)
        stored = published(files, service)
        place = (location(destination), service)
        known: dict[tuple[str, int], _Row] = {row[:2]: row for row in self._rows(*place)}
        archives = [name for name, _ in known if ArchiveName.parse(name)]
        if archives and not stored:
            raise Away(
                f"destination {destination.name} ({destination.root}) held backups of {service}"
                f" ({len(archives)}) and now lists none",
                "is its disk mounted? If they were deleted on purpose:"
                " packrat check --connect --accept-empty",
            )
        catalog = Catalog(destination, service)
        damage = self._damage(*place) if marks else {}
        new: list[_Row] = []
        late, until = False, time.monotonic() + LOOK_SECONDS
        said = published(files, service, StatementName)
        for one in (*stored, *said):
            if late := time.monotonic() > until:
                break
            row = known.pop((one.name, one.size), None)
            cached = _cached(keys, one, row) if row else None
            item = cached or examine(catalog, one, keys, check)
            item.problem = item.problem or damage.get((one.name, one.size), "")
            (catalog.statements if one in said else catalog.listed).append(item)
            if not cached and (content := item.summary or item.statement):
                made = one.name, one.size, keys.key_id, encode(content)
                new.append((*made, _checksum(*made)))
        if new or known:
            with self._file.together():
                for found in new:
                    self._file.note(
                        "INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?, ?)",
                        *(*place, *found),
                    )
                for name, size in () if late else known:
                    self._drop(*place, name, size)
        if late:
            raise destination.fault(f"list {service}", SLOW, "the next run goes on from there")
        catalog.gone = sorted({name for name, _ in known} - catalog.names)
        return catalog

    def catalogs(
        self,
        destinations: Mapping[str, Store],
        service: str,
        keys: Keys,
        *,
        marks: bool = True,
    ) -> tuple[dict[str, Catalog], dict[str, VaultError]]:
        """List all destinations at once; return their catalogs, and the errors of the others."""

        def ask(destination: Store) -> Catalog | VaultError:
            try:
                return self.catalog(destination, service, keys, marks=marks)
            except VaultError as error:
                return error

        with ThreadPoolExecutor(max(len(destinations), 1)) as threads:
            answers = dict(zip(destinations, threads.map(ask, destinations.values()), strict=True))
        found = {name: one for name, one in answers.items() if isinstance(one, Catalog)}
        take_out_forgotten(found.values())
        return found, {name: why for name, why in answers.items() if isinstance(why, VaultError)}

    def known(self, destination: Store, service: str, keys: Keys) -> Catalog:
        """Return what was last listed at a destination, without contacting it."""
        catalog = Catalog(destination, service)
        for row in self._rows(location(destination), service):
            one = Stored(*row[:2])
            if item := _cached(keys, one, row):
                (catalog.statements if item.statement else catalog.listed).append(item)
        take_out_forgotten([catalog])
        return catalog

    def deleted(self, destination: Store, service: str, one: Stored) -> None:
        """Forget an archive that packrat itself deleted, which is therefore not missed."""
        self._drop(location(destination), service, one.name, one.size)

    def remembered(
        self, roots: Mapping[str, str | None] | None = None
    ) -> dict[str, dict[str, Seen]]:
        """Return service -> destination -> its last known state, without using any of them."""
        return remembered(self._file, roots or {})

    def emptied(self, destination: Store) -> int:
        """Return how many known archives are in services that it lists as empty; raises Away."""
        rows = self._file.ask(
            tuple[str, int],
            "SELECT service, count(*) FROM archives WHERE destination = ?"
            " AND name LIKE '%.packrat' GROUP BY service",
            location(destination),
        )
        with contained(destination):
            return sum(count for service, count in rows if not destination.archives(service))

    def forget(self, destination: Store, record: Record) -> None:
        """Accept that a destination lists nothing of some services; raises Away.

        What is missing of the others stays an alarm in `record`.
        """
        place = location(destination)
        known = "SELECT DISTINCT service FROM archives WHERE destination = ?"
        seen = {service for [service] in self._file.ask(tuple[str], known, place)}
        with contained(destination):
            empty = [one for one in seen | record.services() if not destination.archives(one)]
        for service in empty:
            record.drop_all(service, destination.name)
            self._file.note(
                "DELETE FROM archives WHERE destination = ? AND service = ?", place, service
            )

    def prove(
        self, destination: Store, service: str, one: Stored, now: float, problem: str = ""
    ) -> None:
        """Record that an archive was read in full, and what was found wrong with it."""
        place = (location(destination), service)
        with self._file.together():
            self._file.note(
                "INSERT OR REPLACE INTO proofs VALUES (?, ?, ?, ?, ?, ?)",
                *(*place, one.name, one.size, now, problem),
            )
            if not problem and ArchiveName.parse(one.name):  # also known when the archive is pruned
                self._file.note("INSERT OR REPLACE INTO verified VALUES (?, ?, ?)", *place, now)

    def begin_proof(self, destination: Store, service: str, one: Stored) -> None:
        """Discount an archive until `end_proof`: S3 lists it before it is read back."""
        problem = f"{destination.name}:{service}/{one.name} {UNPROVEN}"
        self.prove(destination, service, one, 0.0, problem)

    def end_proof(self, destination: Store, service: str, one: Stored) -> None:
        """Record that the proof of an archive has ended, whatever its result."""
        self._file.note(
            "DELETE FROM proofs WHERE destination = ? AND service = ? AND name = ?"
            " AND problem LIKE ?",
            *(location(destination), service, one.name, f"%{UNPROVEN}"),
        )

    def proofs(self, destination: Store, service: str) -> dict[str, float]:
        """Return when each archive was last read in full, by its name."""
        return dict(
            self._file.ask(
                tuple[str, float],
                "SELECT name, time FROM proofs WHERE destination = ? AND service = ?",
                *(location(destination), service),
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rows(self, destination: str, service: str) -> list[_Row]:
        statement = (
            "SELECT name, size, key, summary, checksum FROM archives"
            " WHERE destination = ? AND service = ?"
        )
        return list(self._file.ask(_Row, statement, destination, service))

    def _damage(self, destination: str, service: str) -> dict[tuple[str, int], str]:
        rows = self._file.ask(
            tuple[str, int, str],
            "SELECT name, size, problem FROM proofs WHERE destination = ? AND service = ?"
            " AND problem != ''",
            *(destination, service),
        )
        return {(name, size): problem for name, size, problem in rows}

    def _drop(self, *archive: object) -> None:
        for kind in ("archives", "proofs"):
            self._file.note(
                f"DELETE FROM {kind} WHERE destination = ? AND service = ? AND name = ?"  # noqa: S608
                " AND size = ?",
                *archive,
            )


def _prepare(db: sqlite3.Connection) -> None:
    """Create the tables; drop those of another version."""
    if db.execute("PRAGMA user_version").fetchone() != (CACHE_VERSION,):
        for table in TABLES:
            db.execute(f"DROP TABLE IF EXISTS {table}")
        db.execute(f"PRAGMA user_version = {CACHE_VERSION}")
    for table, columns in TABLES.items():
        db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")


def location(destination: Store) -> str:
    """Return what identifies a destination in records: its name and its root."""
    return f"{destination.name}={destination.root}"


def _cached(keys: Keys, one: Stored, row: _Row) -> Listed | None:
    """Return a file as it is cached if these keys and this version made it, and it is intact."""
    name, size, key, summary, checksum = row
    if key != keys.key_id or checksum != _checksum(name, size, key, summary):
        return None
    try:
        if StatementName.parse(name):
            return Listed(one, statement=decode_statement(summary))
        return Listed(one, decode_summary(summary))
    except msgspec.MsgspecError:
        return None


def _checksum(name: str, size: int, key: bytes, summary: bytes) -> bytes:
    return sha256(b"\0".join((name.encode(), str(size).encode(), key, summary))).digest()[:8]
