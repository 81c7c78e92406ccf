"""`packrat ls`: the files in a folder of a backup."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from packrat.restore.opened import OpenedBackup
from packrat.restore.unlock import choose_and_unlock
from packrat.text.report import bytes_text, missed_text, print_json, warn
from specs.faults import printable
from vault.archive.index import selected
from vault.errors import NotThere

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Entry


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
            f"{chosen.archive.name} has no {path!r}", f"packrat ls {service} lists its files"
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
        "stream": stat.S_IFREG,
        "dir": stat.S_IFDIR,
        "symlink": stat.S_IFLNK,
        "fifo": stat.S_IFIFO,
        "char": stat.S_IFCHR,
        "block": stat.S_IFBLK,
    }
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=entry.mtime // 10**9)
        when = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        when = str(entry.mtime // 10**9)
    name = printable(os.path.normpath(entry.name) + ("/" if entry.type == "dir" else ""))
    target = f" -> {printable(entry.target or '?')}" if entry.type == "symlink" else ""
    mode = stat.filemode(kinds[entry.type] | entry.mode)
    return f"{mode}  {bytes_text(entry.size):>10}  {when}  {name}{target}"
