"""State of the services from the history and the cache, without network access."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC
from typing import TYPE_CHECKING, Any

from packrat.program import open_cache, open_record
from packrat.runs.daemon_state import DAEMON
from packrat.runs.lock import is_running
from packrat.runs.schedule import Schedule, zone_of
from packrat.text.alarms import alarm_keys
from packrat.text.service_state import CLOCK_SECONDS
from vault.archive.format import stamp, unstamp

if TYPE_CHECKING:
    from packrat.runs.history import History, PastRun
    from specs.config import Config
    from specs.service import Service

LATE_SECONDS = 300.0
"""Delay after which a scheduled run counts as missed."""
LEAST_AGE = 3600
"""Smallest default age from which a service is overdue: backups wait for each other."""


def age_of(newest: str | None, good: float | None, now: float) -> float | None:
    """Return the age of the newest backup in seconds; None if there is none, or it is unknown.

    Every backup is dated after the one before. So after one from the future, only the history knows
    the age: `good` is the time at which the last good run ended.
    """
    if newest is None:
        return None
    if unstamp(newest) <= now + CLOCK_SECONDS:
        return now - unstamp(newest)
    return None if good is None else now - good


def service_rows(config: Config, history: History, now: float) -> list[dict[str, Any]]:
    """Return a row for each service, with the keys of `--json` and times as stamps in UTC."""
    newest, marks = history.newest(), history.marks()
    good = history.good_until(now + CLOCK_SECONDS)
    zone = zone_of(config.timezone)
    daemon = is_running(config.state_dir, DAEMON)
    rows = []
    with closing(open_cache(config.state_dir)) as cache:
        remembered = cache.remembered(config.roots())
    record = open_record(config.state_dir)
    for name, service in config.services.items():
        seen = remembered.get(name, {})
        places = {place: seen.get(place) for place in config.destinations_of(service)}
        times = [at.newest for at in places.values() if at and at.newest]
        proofs = [at.proven for at in places.values() if at and at.proven]
        pasts = newest.get(name, [])
        running = next((past for past in pasts if past.status == "running"), None)
        last = next((past for past in pasts if past.status != "running"), None)
        age = age_of(max(times, default=None), good.get(name), now)
        due = missed = None
        if service.schedule:
            schedule = Schedule(service.schedule, zone)
            mark = marks.get((name, service.schedule), now)
            due = schedule.after(mark)
            missed = schedule.after(max(mark, good.get(name, 0.0)))  # also not made by hand
        is_missed = missed and missed < now - LATE_SECONDS and not (daemon or running)
        most = max_age_of(service)
        rows.append(
            {
                "service": name,
                "last": _last(last),
                "running": _running(running, now),
                "schedule": service.schedule,
                "next": stamp(due) if due else None,
                "newest": max(times, default=None),
                "age_seconds": None if age is None else round(age),
                "dated_ahead": bool(times) and unstamp(max(times)) > now + CLOCK_SECONDS,
                "destinations": {
                    place: {
                        "newest": at.newest if at else None,
                        "backups": at.backups if at else 0,
                        "damaged": at.damaged if at else 0,
                        "stored": at.stored if at else 0,
                    }
                    for place, at in places.items()
                },
                "verified": stamp(max(proofs)) if proofs else None,
                "max_age_seconds": most,
                "overdue": bool(service.max_age) if age is None else bool(most and age > most),
                "containers": service.stopped,
                "daemon": daemon,
                "missed": stamp(missed) if missed and is_missed else None,
                "alarms": [
                    alarm_keys(alarm)
                    for place, found in record.alarms(name).items()
                    if place in places
                    for alarm in found
                ],
            }
        )
    return rows


def max_age_of(service: Service) -> int | None:
    """Return the age in seconds from which a service is overdue.

    By default it is twice the longest gap of its schedule, and at least an hour; a service without
    a schedule has none.
    """
    if service.max_age or not service.schedule:
        return service.max_age
    return max(round(2 * Schedule(service.schedule, UTC).longest_gap), LEAST_AGE)


def newest_overdue(config: Config, history: History, now: float) -> dict[str, str | None]:
    """Return overdue service -> time of its newest backup."""
    return {r["service"]: r["newest"] for r in service_rows(config, history, now) if r["overdue"]}


def is_well(row: dict[str, Any]) -> bool:
    """Return whether a service needs no attention."""
    bad = row["last"] is not None and row["last"]["status"] != "done"
    damaged = any(at["damaged"] for at in row["destinations"].values())
    return not (bad or damaged or row["overdue"] or row["missed"] or row["alarms"])


def _last(past: PastRun | None) -> dict[str, Any] | None:
    if past is None:
        return None
    keys = ("seconds", "downtime_seconds", "read", "stored", "error")
    recorded = {key: past.document.get(key) for key in keys}
    return {"status": past.status, "started": stamp(past.started)} | recorded


def _running(past: PastRun | None, now: float) -> dict[str, Any] | None:
    if past is None:
        return None
    return {
        "started": stamp(past.started),
        "seconds": round(max(now - past.started, 0)),
        "stage": past.progress.get("stage"),
        "bytes": past.progress.get("bytes", 0),
        "items": past.progress.get("items", 0),
    }
