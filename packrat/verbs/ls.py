"""`packrat ls`: the files in a folder of a backup."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from packrat.browse.library import ChosenBackups
from packrat.restore.request import path_in_backup
from packrat.text.report import bytes_text, print_json
from specs.faults import printable
from vault.archive.format import Entry, untext
from vault.browse import MODES, PackratFileSystem
from vault.errors import NotThere

if TYPE_CHECKING:
    from packrat.program import Program


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
    program.services([service], stored=True)
    path = path_in_backup(path, program.config.services[service].reads.labels)
    tree = PackratFileSystem(ChosenBackups(program, source, password_file)).tree(service, backup)
    entry = tree.lookup.entry(path)
    if entry is None and path:
        raise NotThere(
            f"{tree.manifest.name} has no {path!r}", f"packrat ls {service} lists its files"
        )
    is_file = entry is not None and entry.type != "dir"
    found = [entry] if entry and is_file else [*tree.lookup.children(path)]
    if as_json:
        keys = ("type", "mode", "uid", "gid", "mtime", "size")
        print_json([{"path": e.name} | {key: getattr(e, key) for key in keys} for e in found])
        return
    for one in found:
        print(_line(one))


def _line(entry: Entry) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=entry.mtime // 10**9)
        when = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        when = str(entry.mtime // 10**9)
    name = printable(os.path.normpath(entry.name) + ("/" if entry.type == "dir" else ""))
    target = ""
    if entry.type == "symlink":
        target = f" -> {printable(untext(entry.target or '', entry.target64))}"
    mode = stat.filemode(MODES[entry.type] | entry.mode)
    return f"{mode}  {bytes_text(entry.size):>10}  {when}  {name}{target}"
