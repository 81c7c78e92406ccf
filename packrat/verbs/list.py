"""`packrat list`: the backups, and the destinations of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.runs.catalogs import catalogs
from packrat.text.report import bytes_text, print_json, table, time_text, warn

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Summary


def list_backups(program: Program, service: str | None, *, as_json: bool) -> int:
    """Print each backup once, with its destinations; return the exit status."""
    services = program.services([service]) if service else list(program.config.services)
    rows: dict[str, dict[str, Any]] = {}
    others = 0
    found, status = catalogs(program, services)
    for catalog in found:
        for item in catalog.backups:
            assert item.summary is not None
            row = rows.setdefault(item.stored.name, _row(item.summary, item.stored.size))
            row["destinations"].append(catalog.destination.name)
        for item in catalog.listed:
            if item.problem:
                others += 1
                warn(item.problem)
    ordered = sorted(rows.values(), key=lambda row: (row["time"], row["service"]))
    if as_json:
        print_json(ordered)
        return status
    if not ordered:
        places = {(one.destination.name, one.destination.root): None for one in found}
        where = ", ".join(f"{name} ({root})" for name, root in places)
        print(f"no backups {'under this key' if others else 'yet'} at {where}")
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
                ", ".join(row["destinations"]),
            ]
            for row in ordered
        ],
        right=["FILES", "SIZE", "STORED"],
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
    }
