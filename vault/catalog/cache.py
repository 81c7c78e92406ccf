"""Summaries of archives that were opened once, and when each was proven, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from vault.archive.format import Summary, encode
from vault.catalog.catalog import Catalog, Held, backups_of, look_at
from vault.catalog.sqlite_file import copied, opened
from vault.errors import Away, VaultError
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault.archive.keys import Keys
    from vault.store.base import Destination

CACHE_VERSION = 1
UNPROVEN = "was not read back yet after it was published"


class Seen(msgspec.Struct, frozen=True):
    """What was seen last of a service at one destination."""

    newest: str | None
    """The time of the newest backup."""
    backups: int
    damaged: int
    proven: float | None
    """When an archive was last read in full, in seconds since 1970."""


class CatalogCache:
    """What was seen at destinations before. A cache: may be lost any time."""

    def __init__(self, path: str, *, aside: bool = False) -> None:
        """Open, or make, the file; one that is damaged is made anew.

        `aside` leaves the file as it is and works on a copy in memory. So does a disk that is full
        or read-only: nobody should need room for a cache to restore.
        """
        self._db = copied(path, _prepare) if aside else opened(path, _prepare)
        self._lock = threading.Lock()
        """The branches of a run share the connection, which is one statement's at a time."""

    def catalog(
        self, destination: Destination, service: str, keys: Keys, *, marks: bool = True
    ) -> Catalog:
        """List a destination and open what is new there.

        Without `marks`, what was found damaged inside looks as if it were not: to prove it again.
        Raises Away also when the destination held backups and now lists nothing at all: that is
        an unmounted disk far more often than an empty one.
        """
        stored = destination.archives(service)
        place = (_place(destination), service)
        rows = self._ask(
            "SELECT name, size, key, summary FROM archives WHERE destination = ? AND service = ?",
            *place,
        )
        known = {(name, size): (key, summary) for name, size, key, summary in rows}
        if known and not stored:
            raise Away(
                f"destination {destination.name} ({destination.root}) held backups of {service}"
                f" ({len(known)}) and now lists none",
                "is its disk mounted? If they were deleted on purpose:"
                " packrat check --connect --accept-empty",
            )
        catalog = Catalog(destination, service)
        damage = self._damage(*place) if marks else {}
        for one in stored:
            summary = _recall(keys, *known.pop((one.name, one.size), (b"", b"")))
            held = Held(one, summary) if summary else look_at(catalog, one, keys)
            held.problem = held.problem or damage.get((one.name, one.size), "")
            catalog.held.append(held)
            if held.summary and not summary:
                self._note(
                    "INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?)",
                    *(*place, one.name, one.size, keys.key_id, encode(held.summary)),
                )
        for name, size in known:
            self._drop(*place, name, size)
        catalog.gone = sorted({name for name, _ in known} - {one.name for one in stored})
        return catalog

    def catalogs(
        self,
        destinations: Mapping[str, Destination],
        service: str,
        keys: Keys,
        *,
        marks: bool = True,
    ) -> tuple[dict[str, Catalog], dict[str, VaultError]]:
        """Ask all destinations at once; gives what answers holds, and why others do not answer."""

        def ask(destination: Destination) -> Catalog | VaultError:
            try:
                return self.catalog(destination, service, keys, marks=marks)
            except VaultError as error:
                return error

        with ThreadPoolExecutor(max(len(destinations), 1)) as threads:
            answers = dict(zip(destinations, threads.map(ask, destinations.values()), strict=True))
        return (
            {name: found for name, found in answers.items() if isinstance(found, Catalog)},
            {name: why for name, why in answers.items() if isinstance(why, VaultError)},
        )

    def deleted(self, destination: Destination, service: str, one: Stored) -> None:
        """Remember no more of an archive that was deleted: nobody need wonder where it is."""
        self._drop(_place(destination), service, one.name, one.size)

    def remembered(self) -> dict[str, dict[str, Seen]]:
        """Give what was seen last: service -> destination -> that. Asks no destination."""
        found: dict[tuple[str, str], list[Held]] = {}
        proven: dict[tuple[str, str], float] = {}
        rows = self._ask(
            "SELECT a.service, a.destination, a.name, a.size, summary, time, problem"
            " FROM archives a LEFT JOIN proofs p ON (p.destination, p.service, p.name, p.size)"
            " = (a.destination, a.service, a.name, a.size) ORDER BY a.name"
        )
        for service, place, name, size, summary, time, problem in rows:
            with suppress(msgspec.MsgspecError):
                known = msgspec.json.decode(summary, type=Summary)
                held = Held(Stored(name, size), known, problem or "")
                found.setdefault((service, place), []).append(held)
                proven[service, place] = max(proven.get((service, place), 0.0), time or 0.0)
        seen: dict[str, dict[str, Seen]] = {}
        for (service, place), archives in found.items():
            name, at = place.partition("=")[0], seen.setdefault(service, {})
            one = _seen(archives, proven[service, place])
            # One destination may have moved: what counts is where it is now.
            if name not in at or (one.newest or "") > (at[name].newest or ""):
                at[name] = one
        return seen

    def emptied(self, destination: Destination) -> int:
        """Count what a destination held of services of which it now lists nothing; raises Away."""
        rows = self._ask(
            "SELECT service, count(*) FROM archives WHERE destination = ? GROUP BY service",
            _place(destination),
        )
        return sum(count for service, count in rows if not destination.archives(service))

    def forget(self, destination: Destination) -> None:
        """Accept that a destination lists less than it held."""
        self._ask("DELETE FROM archives WHERE destination = ?", _place(destination))

    def prove(
        self, destination: Destination, service: str, one: Stored, now: float, problem: str = ""
    ) -> None:
        """Remember that an archive was read in full, and what was found wrong with it."""
        self._note(
            "INSERT OR REPLACE INTO proofs VALUES (?, ?, ?, ?, ?, ?)",
            *(_place(destination), service, one.name, one.size, now, problem),
        )

    def begin_proof(self, destination: Destination, service: str, one: Stored) -> None:
        """Take an archive for nothing until `end_proof`: S3 shows it before it is read back."""
        problem = f"{destination.name}:{service}/{one.name} {UNPROVEN}"
        self.prove(destination, service, one, 0.0, problem)

    def end_proof(self, destination: Destination, service: str, one: Stored) -> None:
        """Forget that the proof of an archive had begun: it is over, one way or the other."""
        self._note(
            "DELETE FROM proofs WHERE destination = ? AND service = ? AND name = ?"
            " AND problem LIKE ?",
            *(_place(destination), service, one.name, f"%{UNPROVEN}"),
        )

    def proofs(self, destination: Destination, service: str) -> dict[str, float]:
        """Give when each archive was read in full last, by its name."""
        return dict(
            self._ask(
                "SELECT name, time FROM proofs WHERE destination = ? AND service = ?",
                *(_place(destination), service),
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _damage(self, destination: str, service: str) -> dict[tuple[str, int], str]:
        rows = self._ask(
            "SELECT name, size, problem FROM proofs WHERE destination = ? AND service = ?"
            " AND problem != ''",
            *(destination, service),
        )
        return {(name, size): problem for name, size, problem in rows}

    def _drop(self, *archive: object) -> None:
        for kind in ("archives", "proofs"):
            self._note(
                f"DELETE FROM {kind} WHERE destination = ? AND service = ? AND name = ?"  # noqa: S608
                " AND size = ?",
                *archive,
            )

    def _note(self, statement: str, *values: object) -> None:
        with suppress(sqlite3.OperationalError):  # no room, no right: then not, this time
            self._ask(statement, *values)

    def _ask(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables; one of another version goes."""
    if db.execute("PRAGMA user_version").fetchone() != (CACHE_VERSION,):
        db.execute("DROP TABLE IF EXISTS archives")
        db.execute(f"PRAGMA user_version = {CACHE_VERSION}")
    db.execute(
        "CREATE TABLE IF NOT EXISTS archives (destination TEXT, service TEXT, name TEXT,"
        " size INT, key BLOB, summary BLOB, PRIMARY KEY (destination, service, name))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS proofs (destination TEXT, service TEXT, name TEXT,"
        " size INT, time REAL, problem TEXT, PRIMARY KEY (destination, service, name))"
    )


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


def _seen(archives: list[Held], proven: float) -> Seen:
    backups = backups_of(archives)
    newest = backups[-1].summary if backups else None
    damaged = sum(bool(held.problem) for held in archives)
    return Seen(newest.time if newest else None, len(backups), damaged, proven or None)
