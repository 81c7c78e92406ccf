"""`packrat list`: the backups, or all archives with the reason for each."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packrat.runs.catalogs import catalogs
from packrat.runs.fates import counts_text, fates
from packrat.text.report import bytes_text, minute_text, print_json, say, table, warn
from stages.facts import Holdings
from stages.spool_folder import SpoolFolder
from vault.archive.format import ArchiveName
from vault.catalog.retention import PAST, Fate, Reason
from vault.errors import VaultError

if TYPE_CHECKING:
    from packrat.errors import Exit
    from packrat.program import Program
    from vault.catalog.catalog import Catalog


def list_backups(
    program: Program,
    service: str | None,
    last: int | None,
    *,
    all_archives: bool,
    all_services: bool,
    as_json: bool,
) -> int:
    """Print each retained backup, or each archive, once; return the exit status.

    `last` is how many of each service. With a broken configuration, or of a service that left it,
    the rules are unknown and every backup is shown. One that is damaged everywhere is in the JSON
    document with `all_archives` only.
    """
    services, found, left, status = _found(
        program, service, all_services=all_services, note=not as_json
    )
    rows: dict[str, dict[str, Any]] = {}
    counts: list[str] = []
    for name in services:
        listed = [catalog for catalog in found if catalog.service == name]
        adopted = name in program.adopted
        missing = _missing(program, name)
        for catalog, decided in _decided(program, name, listed):
            at = catalog.destination.name
            backups = {item.stored.name for item in catalog.backups}
            damaged = {item.stored.name for item in catalog.damaged}
            for fate in decided:
                archive = fate.listed.stored.name
                backup, is_damaged = archive in backups, archive in damaged
                if (
                    all_archives
                    or is_damaged
                    or (backup and (program.faults or adopted or fate.reason not in PAST))
                ):
                    row = rows.setdefault(archive, _row(name, fate))
                    row["configured"] = not adopted
                    row["damaged" if is_damaged else "destinations"].append(at)
                    row["reasons"][at] = _why(fate, adopted=adopted)
                    row["backup"] |= backup
                    row["missing"] = missing.get(archive, [])
            if decided:
                counts.append(f"{name} at {at}: {counts_text(decided, reasons=not adopted)}")
    problems = [item.problem for catalog in found for item in catalog.listed if item.problem]
    for problem in problems:
        warn(problem)
    locked = any(item.locked for catalog in found for item in catalog.listed)
    ordered = [
        row
        for name in services
        for row in sorted((r for r in rows.values() if r["service"] == name), key=_time)[
            -last if last else 0 :
        ]
    ]
    if as_json:
        shown = [row for row in ordered if all_archives or row["destinations"]]
        print_json(sorted(shown, key=_time))
        return status
    if ordered:
        _print(ordered, counts, all_archives=all_archives)
    else:
        places = {(one.destination.name, one.destination.root): None for one in found}
        where = ", ".join(f"{name} ({root})" for name, root in places)
        if problems or not counts:
            what = "under this key" if locked else "without damage" if problems else "yet"
            say(f"no backups {what} at {where}")
        else:
            say(f"no backups that can be restored at {where}: packrat list --all shows why")
    if unseen := [name for name in left if all(row["service"] != name for row in ordered)]:
        note = "packrat list --all-services shows what is there, packrat forget SERVICE deletes it"
        if all_services:
            note = "none of their backups can be restored; packrat list SERVICE --all shows why"
        say(f"\nNot in the configuration: {', '.join(unseen)}; {note}.")
    return status


def _found(
    program: Program, service: str | None, *, all_services: bool, note: bool
) -> tuple[list[str], list[Catalog], list[str], Exit]:
    """Return the services to list, their catalogs, services that left the configuration, a status.

    Those that left it are looked for if they are listed, or for a `note`.
    """
    if service:
        services = program.services([service], stored=True)
        found, status = catalogs(program, services)
        return services, found, [], status
    services = list(program.config.services)
    found, status = catalogs(program, services)
    asked = {name for one in services for name in program.destinations(one)}
    silent = asked - {catalog.destination.name for catalog in found}
    left = program.adopt_all(silent) if all_services or note else []
    if all_services and left:
        found += catalogs(program, left, silent=silent)[0]
        services += left
    return services, found, left, status


def _print(rows: list[dict[str, Any]], counts: list[str], *, all_archives: bool) -> None:
    """Print the rows, those of services that are not in the configuration below the others."""
    show = _print_all if all_archives else _print_backups
    if here := [row for row in rows if row["configured"]]:
        show(here)
    if others := [row for row in rows if not row["configured"]]:
        say(
            "\n" * bool(here) + "Not in the configuration: no run touches these, and"
            " packrat forget SERVICE deletes them."
        )
        show(others)
    for number, line in enumerate(counts if all_archives else ()):
        say("\n" * (not number) + line)


def _why(fate: Fate, *, adopted: bool) -> str:
    """Return the reason for an archive; the rules of a service that left are not known."""
    if not adopted:
        return fate.text
    others = Reason.FOREIGN, Reason.LOCKED, Reason.UNREADABLE
    return "not in the configuration" + f"; {fate.text}" * (fate.reason in others)


def _decided(
    program: Program, service: str, listed: list[Catalog]
) -> list[tuple[Catalog, list[Fate]]]:
    """Return the decisions about the archives at each destination of a service."""
    spool = SpoolFolder(os.path.join(program.config.spool_path, service))
    by_name = {catalog.destination.name: catalog for catalog in listed}
    waiting = spool.empty
    with suppress(VaultError):  # a list must not need the state folder
        waiting = spool.waiting(program.keys)
    holdings = Holdings(by_name, {}, waiting)
    decided = fates(program, service, holdings, time.time())
    return [(catalog, decided[name]) for name, catalog in by_name.items()]


def _missing(program: Program, service: str) -> dict[str, list[str]]:
    """Return archive -> destinations that had it, and where packrat did not delete it."""
    missing: dict[str, list[str]] = {}
    for at, alarms in program.record.alarms(service).items():
        for name in {lost.name for alarm in alarms for lost in alarm.lost}:
            missing.setdefault(name, []).append(at)
    return missing


def _print_backups(rows: list[dict[str, Any]]) -> None:
    table(
        ["SERVICE", "ID", "TIME", "KIND", "FILES", "SIZE", "STORED", "AT"],
        [
            [
                row["service"],
                row["id"],
                minute_text(row["made"]),  # the id distinguishes two in one minute
                row["kind"][:4],
                f"{row['files']:,}" + f" ({row['missed']:,} missed)" * bool(row["missed"]),
                bytes_text(row["size"]),
                bytes_text(row["stored"]),
                ", ".join(
                    [
                        *row["destinations"],
                        *(f"{at} ({bad})" for bad in ("damaged", "missing") for at in row[bad]),
                    ]
                ),
            ]
            for row in rows
        ],
        right=["FILES", "SIZE", "STORED"],
        drop=["KIND", "FILES", "SIZE"],
    )


def _print_all(rows: list[dict[str, Any]]) -> None:
    """Print a row for each archive, and the reason with the destinations that it is true of."""
    table(
        ["SERVICE", "ID", "TIME", "STORED", "WHY"],
        [
            [
                row["service"],
                row["id"],
                minute_text(row["made"]),
                bytes_text(row["stored"]),
                "; ".join(
                    f"{', '.join(at for at, why in row['reasons'].items() if why == text)}: {text}"
                    for text in dict.fromkeys(row["reasons"].values())
                ),
            ]
            for row in rows
        ],
        right=["STORED"],
    )


def _row(service: str, fate: Fate) -> dict[str, Any]:
    stored, summary = fate.listed.stored, fate.listed.summary
    name = ArchiveName.parse(stored.name)
    assert name is not None
    return {
        "service": service,
        "id": name.short,
        "time": name.time,
        "made": summary.made if summary else name.time,
        "kind": summary and summary.kind,
        "files": summary and summary.files,
        "size": summary and summary.size,
        "stored": stored.size,
        "missed": summary and summary.missed,
        "destinations": [],
        "damaged": [],
        "reasons": {},
        "backup": False,
        "missing": [],
    }


def _time(row: dict[str, Any]) -> tuple[str, str]:
    return row["time"], row["service"]
