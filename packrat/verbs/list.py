"""`packrat list`: the backups, and the destinations of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.runs.catalogs import catalogs
from packrat.text.report import bytes_text, print_json, say, table, time_text, warn

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Summary


def list_backups(program: Program, service: str | None, last: int | None, *, as_json: bool) -> int:
    """Print each backup once, with its destinations; return the exit status.

    `last` is how many of each service. A damaged backup is a row, but not in the JSON document.
    """
    services = program.services([service]) if service else list(program.config.services)
    rows: dict[str, dict[str, Any]] = {}
    problems = "yet"
    found, status = catalogs(program, services)
    for catalog in found:
        for key, items in (("destinations", catalog.backups), ("damaged", catalog.damaged)):
            for item in items:
                assert item.summary is not None
                row = rows.setdefault(item.stored.name, _row(item.summary, item.stored.size))
                row[key].append(catalog.destination.name)
        for item in catalog.listed:
            if item.problem:
                problems = "under this key" if item.locked else "without damage"
                warn(item.problem)
    ordered = [
        row
        for name in services
        for row in sorted((r for r in rows.values() if r["service"] == name), key=_time)[
            -last if last else 0 :
        ]
    ]
    if as_json:
        print_json(sorted((row for row in ordered if row["destinations"]), key=_time))
        return status
    if not ordered:
        places = {(one.destination.name, one.destination.root): None for one in found}
        where = ", ".join(f"{name} ({root})" for name, root in places)
        say(f"no backups {problems} at {where}")
        return status
    table(
        ["SERVICE", "ID", "TIME", "KIND", "FILES", "SIZE", "STORED", "AT"],
        [
            [
                row["service"],
                row["id"],
                time_text(row["made"])[:-3],  # the id distinguishes two in one minute
                row["kind"][:4],
                f"{row['files']:,}" + f" ({row['missed']:,} missed)" * bool(row["missed"]),
                bytes_text(row["size"]),
                bytes_text(row["stored"]),
                ", ".join([*row["destinations"], *(f"{at} (damaged)" for at in row["damaged"])]),
            ]
            for row in ordered
        ],
        right=["FILES", "SIZE", "STORED"],
        drop=["KIND", "FILES", "SIZE"],
    )
    return status


def _row(summary: Summary, stored: int) -> dict[str, Any]:
    return {
        "service": summary.service,
        "id": summary.id[:8],
        "time": summary.time,
        "made": summary.made,
        "kind": summary.kind,
        "files": summary.files,
        "size": summary.size,
        "stored": stored,
        "missed": summary.missed,
        "destinations": [],
        "damaged": [],
    }


def _time(row: dict[str, Any]) -> tuple[str, str]:
    return row["time"], row["service"]
