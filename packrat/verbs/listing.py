"""`packrat list` and `packrat ls`: lists of backups and files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from packrat.catalogs import catalogs
from packrat.text.report import as_json as print_json
from packrat.text.report import bytes_text, missed_text, table, time_text, warn
from specs.faults import printable

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Entry, Summary


def list_backups(program: Program, service: str | None, *, as_json: bool) -> int:
    """Print each backup once, with its destinations; return the exit status."""
    services = program.services([service]) if service else list(program.config.services)
    rows: dict[str, dict[str, Any]] = {}
    others = 0
    found, status = catalogs(program, services)
    for catalog in found:
        for held in catalog.backups:
            assert held.summary is not None
            row = rows.setdefault(held.stored.name, _row(held.summary, held.stored.size))
            row["destinations"].append(catalog.destination.name)
        for held in catalog.held:
            if held.problem:
                others += 1
                warn(held.problem)
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
                time_text(row["time"])[:-3],  # the id distinguishes two in one minute
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
        "kind": summary.kind,
        "files": summary.files,
        "size": summary.size,
        "stored": stored,
        "missed": summary.missed,
        "destinations": [],
    }


def list_files(
    program: Program,
    service: str,
    backup: str,
    path: str,
    source: str | None,
    password_file: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the entries directly in a folder of a backup, or a single file."""
    from packrat.restore.opened import OpenedBackup
    from packrat.restore.unlock import choose_and_unlock
    from vault.archive.index import selected
    from vault.errors import NotThere

    program.services([service])
    path = path.strip("/")
    program, chosen = choose_and_unlock(program, service, backup, source, password_file, warn)
    opened = OpenedBackup(service, chosen, program.keys)
    if chosen.archive.manifest.missed:
        warn(missed_text(chosen.archive.manifest))
    depth = path.count("/") + 1 if path else 0
    found = []
    folder = not path
    for entry in opened.entries([path]):
        name = entry.name
        if name == path and entry.type == "dir":
            folder = True
        elif name and selected(name, [path]) and name.count("/") <= depth:
            found.append(entry)
    if not found and not folder:
        raise NotThere(
            f"{chosen.archive.name} has no {path!r}", f"packrat ls {service} shows what it has"
        )
    if as_json:
        keys = ("type", "mode", "uid", "gid", "mtime", "size")
        print_json([{"path": e.name} | {key: getattr(e, key) for key in keys} for e in found])
        return
    for entry in found:
        print(_line(entry))


def _line(entry: Entry) -> str:
    kinds = {
        "file": stat.S_IFREG,
        "dir": stat.S_IFDIR,
        "symlink": stat.S_IFLNK,
        "fifo": stat.S_IFIFO,
        "char": stat.S_IFCHR,
        "block": stat.S_IFBLK,
    }
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=entry.mtime // 10**9)
        when = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        when = str(entry.mtime // 10**9)
    name = printable(os.path.normpath(entry.name) + ("/" if entry.type == "dir" else ""))
    target = f" -> {printable(entry.target or '?')}" if entry.type == "symlink" else ""
    mode = stat.filemode(kinds[entry.type] | entry.mode)
    return f"{mode}  {bytes_text(entry.size):>10}  {when}  {name}{target}"
