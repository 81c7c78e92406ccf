"""`packrat status` and `packrat history`: state of the services, without network access."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.daemon.schedule import Schedule, zone_of
from packrat.errors import Exit
from packrat.program import open_cache
from packrat.runs.history import History
from packrat.text.report import as_json as print_json
from packrat.text.report import bytes_text, table, time_text
from vault.archive.format import stamp, unstamp

if TYPE_CHECKING:
    from packrat.program import Program
    from packrat.runs.history import Past
    from specs.config import Config


CLOCK_SECONDS = 300
"""A backup dated further in the future was made with a wrong clock."""


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


def look(config: Config, history: History, now: float) -> list[dict[str, Any]]:
    """Return a row for each service, with the keys of `--json` and times as stamps in UTC."""
    newest, marks = history.newest(), history.marks()
    good = history.good_until(now + CLOCK_SECONDS)
    zone = zone_of(config.timezone)
    rows = []
    with closing(open_cache(config.state_dir)) as cache:
        remembered = cache.remembered()
    for name, service in config.services.items():
        seen = remembered.get(name, {})
        places = {place: seen.get(place) for place in config.destinations_of(service)}
        times = [at.newest for at in places.values() if at and at.newest]
        proofs = [at.proven for at in places.values() if at and at.proven]
        pasts = newest.get(name, [])
        running = next((past for past in pasts if past.status == "running"), None)
        last = next((past for past in pasts if past.status != "running"), None)
        age = age_of(max(times, default=None), good.get(name), now)
        due = None
        if service.schedule:
            mark = marks.get((name, service.schedule), now)
            due = Schedule(service.schedule, zone).after(mark)
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
                    }
                    for place, at in places.items()
                },
                "verified": stamp(max(proofs)) if proofs else None,
                "max_age_seconds": service.max_age,
                "overdue": bool(service.max_age and (age is None or age > service.max_age)),
                "containers": list(service.docker.names) if service.docker else [],
            }
        )
    return rows


def newest_overdue(config: Config, history: History, now: float) -> dict[str, str | None]:
    """Return overdue service -> time of its newest backup; cheap enough for the daemon's loop."""
    good = history.good_until(now + CLOCK_SECONDS)
    with closing(open_cache(config.state_dir)) as cache:
        remembered = cache.remembered()
    found = {}
    for name, service in config.services.items():
        times = [at.newest for at in remembered.get(name, {}).values() if at.newest]
        newest = max(times, default=None)
        age = age_of(newest, good.get(name), now)
        if service.max_age and (age is None or age > service.max_age):
            found[name] = newest
    return found


def is_well(row: dict[str, Any]) -> bool:
    """Return whether a service needs no attention."""
    bad = row["last"] is not None and row["last"]["status"] not in ("done", "interrupted")
    damaged = any(at["damaged"] for at in row["destinations"].values())
    return not (bad or damaged or row["overdue"])


def show_status(program: Program, *, as_json: bool) -> int:
    """Print the status; return DONE if all is well, else PARTIAL."""
    config, now = program.config, time.time()
    with closing(History(config.state_dir)) as history:
        rows = look(config, history, now)
    if as_json:
        print_json(rows)
    else:
        table(
            ["SERVICE", "LAST", "RESULT", "NEXT", "NEWEST AT", "VERIFIED", "STOPS"],
            [_cells(row, now) for row in rows],
        )
    return Exit.DONE if all(map(is_well, rows)) else Exit.PARTIAL


def show_history(program: Program, service: str | None, last: int, *, as_json: bool) -> int:
    """Print past runs, the newest first; return the exit status."""
    if service:
        program.services([service])
    with closing(History(program.config.state_dir)) as history:
        runs = history.runs(service, last)
    if as_json:
        print_json([_stamped(run.json()) for run in runs])
        return Exit.DONE
    if not runs:
        print("no runs yet")
        return Exit.DONE
    table(
        ["SERVICE", "STARTED", "BY", "RESULT", "ID", "SECONDS", "READ", "STORED", "DOWN", "ERROR"],
        [_past_cells(run) for run in runs],
        right=["SECONDS", "READ", "STORED", "DOWN"],
    )
    return Exit.DONE


def _last(past: Past | None) -> dict[str, Any] | None:
    if past is None:
        return None
    return {
        "status": past.status,
        "started": stamp(past.started),
        "seconds": past.document.get("seconds"),
        "downtime_seconds": past.document.get("downtime_seconds"),
        "read": past.document.get("read"),
        "stored": past.document.get("stored"),
        "error": past.document.get("error"),
    }


def _running(past: Past | None, now: float) -> dict[str, Any] | None:
    if past is None:
        return None
    return {
        "started": stamp(past.started),
        "seconds": round(max(now - past.started, 0)),
        "stage": past.progress.get("stage"),
        "bytes": past.progress.get("bytes", 0),
        "items": past.progress.get("items", 0),
    }


def _cells(row: dict[str, Any], now: float) -> list[str]:
    last, running = row["last"], row["running"]
    result = last["status"] if last else "never ran"
    if running:
        stage = f" ({running['stage']}, {bytes_text(running['bytes'])})" if running["stage"] else ""
        result = f"runs now{stage}"
    elif row["overdue"]:
        result += ", overdue"
    places = [
        f"{place} {_age(at['newest'], now)}" + ", damaged" * bool(at["damaged"])
        for place, at in row["destinations"].items()
    ]
    return [
        row["service"],
        time_text(last["started"])[:-3] if last else "-",
        result,
        _next(row["next"], now),
        "; ".join(places),
        time_text(row["verified"])[:10] if row["verified"] else "never",
        ", ".join(row["containers"]) or "-",
    ]


def _next(when: str | None, now: float) -> str:
    if when is None:
        return "by hand"
    return time_text(when)[:-3] if unstamp(when) > now else "is due"


def _age(when: str | None, now: float) -> str:
    if when is None:
        return "never"
    if unstamp(when) > now + CLOCK_SECONDS:
        return f"dated {time_text(when)[:-3]}, in the future"
    seconds = max(now - unstamp(when), 0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _past_cells(run: Past) -> list[str]:
    document = run.document
    seconds, down = document.get("seconds"), document.get("downtime_seconds")
    return [
        run.service.removeprefix("."),
        time_text(stamp(run.started)),
        run.by or "hand",
        run.status,
        document.get("id") or "-",
        "-" if seconds is None else f"{seconds:.1f}",
        bytes_text(document.get("read") or 0),
        bytes_text(document.get("stored") or 0),
        "-" if down is None else f"{down:.1f}",
        document.get("error") or "",
    ]


def _stamped(row: dict[str, Any]) -> dict[str, Any]:
    times = {key: row[key] for key in ("scheduled", "started", "ended")}
    return row | {key: stamp(t) if t is not None else None for key, t in times.items()}
