"""`packrat usage`: what each service and each backup takes at each destination."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from packrat.runs.catalogs import catalogs
from packrat.text.report import bytes_text, growth_text, minute_text, print_json, table
from vault.archive.format import stamp

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.catalog.catalog import Catalog

MONTH_SECONDS = 30 * 86400


def show_usage(program: Program, service: str | None, *, as_json: bool) -> int:
    """Print what the archives take; with `service`, each of its backups; return the status."""
    stored = program.services([service], stored=True) if service else None
    services = stored or list(program.config.services)
    found, status = catalogs(program, services)
    since = stamp(time.time() - MONTH_SECONDS)
    rows = [_row(catalog, since) for catalog in found]
    if as_json:
        print_json(rows)
        return status
    table(
        ["SERVICE", "AT", "BACKUPS", "FILES", "SIZE", "GREW", "STORED", "ADDED"],
        [
            [
                row["service"],
                row["destination"],
                f"{len(row['backups']):,}",
                f"{row['files']:,}",
                bytes_text(row["size"]),
                growth_text(row["grew"]),
                bytes_text(row["stored"]),
                bytes_text(row["added"]),
            ]
            for row in rows
        ],
        right=["BACKUPS", "FILES", "SIZE", "GREW", "STORED", "ADDED"],
    )
    print("GREW and ADDED: in the last 30 days")
    for row in rows if service else ():
        print(f"\n{service} at {row['destination']}")
        table(
            ["ID", "TIME", "SIZE", "STORED", "UNIQUE", "SHARED"],
            [
                [one["id"], minute_text(one["made"])]
                + [bytes_text(one[key]) for key in ("size", "stored", "unique", "shared")]
                for one in row["backups"]
            ],
            right=["SIZE", "STORED", "UNIQUE", "SHARED"],
        )
    return status


def _row(catalog: Catalog, since: str) -> dict[str, Any]:
    """Return what a service takes at one destination.

    An archive is deleted as a whole: `unique` is what is freed if only this backup goes, and
    `shared` are the archives that other backups need as well.
    """
    sizes = {one.summary.id: one.stored.size for one in catalog.listed if one.summary}
    backups = [one.summary for one in catalog.backups if one.summary]
    needs = {one.id: {one.id, *(other.id for other in one.archives)} for one in backups}
    users = Counter(archive for some in needs.values() for archive in some)
    shared = {archive for archive, count in users.items() if count > 1}
    earlier = [one for one in backups if one.made < since] or backups[:1]
    newest = backups[-1] if backups else None
    return {
        "service": catalog.service,
        "destination": catalog.destination.name,
        "archives": len(catalog.listed),
        "stored": sum(one.stored.size for one in catalog.listed),
        "added": sum(
            one.stored.size for one in catalog.listed if one.summary and one.summary.made >= since
        ),
        "files": newest.files if newest else 0,
        "size": newest.size if newest else 0,
        "grew": newest.size - earlier[-1].size if newest else 0,
        "backups": [
            {
                "id": one.id[:8],
                "time": one.time,
                "made": one.made,
                "size": one.size,
                "stored": sizes[one.id],
                "unique": sum(sizes[name] for name in needs[one.id] - shared),
                "shared": sum(sizes[name] for name in needs[one.id] & shared),
            }
            for one in backups
        ],
    }
