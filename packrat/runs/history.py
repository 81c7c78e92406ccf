"""History of runs, in `history.sqlite` of the state folder.

A run is recorded when it begins and when it ends. One that has begun, has not ended and whose lock
is free was killed. The history is a cache: if it cannot be written, backups go on.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import replace

from packrat.runs.lock import is_running
from packrat.text.report import warn
from vault.catalog.sqlite_file import opened

VERSION = 1
KEPT = 1000
"""Runs of one service that are kept."""


class PastRun(Struct, frozen=True):
    """A past or current run."""

    number: int
    service: str
    job: str
    """backup or verify."""
    by: str | None
    """daemon or hand."""
    scheduled: float | None
    """The scheduled instant that it was for."""
    started: float
    ended: float | None
    status: str
    """running, killed, interrupted, done, partial or failed."""
    document: dict[str, Any]
    """Its result, as `backup --json` prints it."""
    stages: dict[str, dict[str, Any]]
    """Stage -> its seconds, bytes and items."""
    progress: dict[str, Any]
    """Last progress of a running one: stage, bytes and items."""

    def json(self) -> dict[str, Any]:
        """Return the documented keys."""
        keys = ("service", "job", "by", "scheduled", "started", "ended", "status", "stages")
        return {key: getattr(self, key) for key in keys} | {
            key: self.document.get(key)
            for key in (
                "id", "kind", "files", "size", "stored", "read", "seconds", "downtime_seconds",
                "warnings", "error", "alarms", "destinations",
            )
        }  # fmt: skip


class History:
    """The runs of one state folder."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._path = path = os.path.join(state_dir, "history.sqlite")
        self._warned = False
        self._db = opened(path, _prepare)
        self._db.row_factory = sqlite3.Row

    def begin(self, service: str, job: str, now: float, **more: Any) -> int:
        """Record the start of a run; return its number, 0 if it cannot be written."""
        row = {"service": service, "job": job, "started": now, "status": "running"} | more
        try:
            # We hold the lock: a run that has not ended was killed.
            self._db.execute(
                "UPDATE runs SET status = 'killed' WHERE service = ? AND ended IS NULL", (service,)
            )
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            cursor = self._db.execute(
                f"INSERT INTO runs ({names}) VALUES ({marks})",  # noqa: S608 (our own names)
                tuple(row.values()),
            )
            self._db.execute(
                "DELETE FROM runs WHERE service = ? AND number <= (SELECT number FROM runs"
                " WHERE service = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (service, service, KEPT),
            )
        except sqlite3.Error:
            return 0
        return cursor.lastrowid or 0

    def advance(self, number: int, progress: dict[str, Any]) -> None:
        """Record the progress of a run."""
        self._note("UPDATE runs SET progress = ? WHERE number = ?", json.dumps(progress), number)

    def end(
        self, number: int, status: str, now: float, document: dict[str, Any], stages: dict[str, Any]
    ) -> None:
        """Record the end of a run."""
        self._note(
            "UPDATE runs SET ended = ?, status = ?, document = ?, stages = ? WHERE number = ?",
            *(now, status, json.dumps(document), json.dumps(stages), number),
        )

    def amend(self, service: str, instant: float, now: float, error: str) -> None:
        """Record the failure of a daemon's run that could not record it itself."""
        document = {"service": service, "status": "failed", "error": error}
        changed = (
            "UPDATE runs SET ended = ?, status = 'failed', document = ? WHERE service = ?"
            " AND scheduled = ? AND (ended IS NULL OR status = 'interrupted')"
        )
        with suppress(sqlite3.Error):
            values = now, json.dumps(document), service, instant
            if not self._db.execute(changed, values).rowcount:
                number = self.begin(service, "backup", now, by="daemon", scheduled=instant)
                self.end(number, "failed", now, document, {})

    def runs(self, service: str | None = None, last: int = -1) -> list[PastRun]:
        """Return runs, the newest first; -1 for all."""
        where, values = ("WHERE service = ?", (service,)) if service else ("", ())
        return self._read(f"{where} ORDER BY number DESC LIMIT ?", *values, last)

    def newest(self) -> dict[str, list[PastRun]]:
        """Return the last two finished backups of each service and a running one, newest first."""
        found: dict[str, list[PastRun]] = {}
        rows = self._read(
            "WHERE number IN (SELECT number FROM (SELECT number, row_number() OVER"
            " (PARTITION BY service, ended IS NULL ORDER BY number DESC) AS place FROM runs"
            " WHERE job = 'backup') WHERE place <= 2) ORDER BY number DESC"
        )
        for past in rows:
            found.setdefault(past.service, []).append(past)
        return found

    def good_until(self, now: float) -> dict[str, float]:
        """Return, for each service, when its last good backup up to `now` ended.

        Runs that ended in the future, by a wrong clock, do not count.
        """
        rows = self._rows(
            "SELECT service, max(ended) FROM runs WHERE job = 'backup' AND ended <= ?"
            " AND status IN ('done', 'partial') GROUP BY service",
            now,
        )
        return dict(rows)

    def instants(self, service: str, last: int = 500) -> list[float]:
        """Return the instants whose runs ended without interruption, the newest first."""
        rows = self._rows(
            "SELECT scheduled FROM runs WHERE service = ? AND scheduled IS NOT NULL"
            " AND ended IS NOT NULL AND status != 'interrupted' ORDER BY number DESC LIMIT ?",
            *(service, last),
        )
        return [instant for (instant,) in rows]

    def mark(self, service: str, schedule: str, now: float) -> float:
        """Return up to when a schedule is handled; for a new or changed one, that is now."""
        known = self.marks().get((service, schedule))
        if known is None:
            self.set_mark(service, schedule, now)
        return now if known is None else known

    def marks(self) -> dict[tuple[str, str], float]:
        """Return up to when each (service, schedule) is handled."""
        rows = self._rows("SELECT service, schedule, mark FROM marks")
        return {(service, schedule): mark for service, schedule, mark in rows}

    def set_mark(self, service: str, schedule: str, mark: float) -> None:
        """Record up to when a schedule is handled."""
        self._note("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", service, schedule, mark)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _note(self, statement: str, *values: Any) -> None:
        with suppress(sqlite3.Error):  # a cache: it may be full or read-only
            self._db.execute(statement, values)

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with suppress(sqlite3.Error):
            return self._db.execute(query, values).fetchall()
        return []

    def _read(self, rest: str, *values: Any) -> list[PastRun]:
        rows = self._rows(f"SELECT * FROM runs {rest}", *values)  # noqa: S608 (our own words)
        found = []
        for one in map(dict, rows):
            try:
                for key in ("document", "stages", "progress"):
                    one[key] = json.loads(one[key] or "{}")
                past = convert(one, PastRun)
            except (ValueError, TypeError):
                continue
            if past.status == "running" and not is_running(self._state_dir, past.service):
                past = replace(past, status="killed")
            found.append(past)
        if len(found) < len(rows) and not self._warned:
            self._warned = True
            warn(f"{len(rows) - len(found)} of the runs in {self._path} cannot be read")
        return found


def _prepare(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
        db.execute("DROP TABLE IF EXISTS runs")
        db.execute("DROP TABLE IF EXISTS marks")
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute(
        "CREATE TABLE IF NOT EXISTS runs (number INTEGER PRIMARY KEY, service TEXT, job TEXT,"
        " by TEXT, scheduled REAL, started REAL, ended REAL, status TEXT, document TEXT,"
        " stages TEXT, progress TEXT)"
    )
    db.execute("CREATE INDEX IF NOT EXISTS of_service ON runs (service, job, ended, number)")
    db.execute(
        "CREATE TABLE IF NOT EXISTS marks (service TEXT PRIMARY KEY, schedule TEXT, mark REAL)"
    )
