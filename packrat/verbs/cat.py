"""`packrat cat`: the content of a file in a backup, on standard output."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from packrat.browse.library import ChosenBackups
from packrat.restore.request import path_in_backup
from vault.browse import PackratFileSystem
from vault.errors import NotThere

if TYPE_CHECKING:
    from packrat.program import Program


def print_file(
    program: Program,
    service: str,
    backup: str,
    path: str,
    source: str | None,
    password_file: str | None,
) -> None:
    """Write the content of a file to standard output; raises VaultError."""
    program.services([service], stored=True)
    path = path_in_backup(path, program.config.services[service].reads.labels)
    files = PackratFileSystem(ChosenBackups(program, source, password_file))
    where = f"{service}/{backup}/{path}"
    try:
        kind = files.info(where)["type"]
    except FileNotFoundError:
        raise NotThere(
            f"the backup has no {path!r}", f"packrat ls {service} {backup} lists its files"
        ) from None
    if kind != "file":
        what = {"directory": "a folder", "link": "a symlink"}.get(kind, "a special file")
        raise NotThere(f"{path!r} is {what}", f"packrat ls {service} {backup} lists files")
    with files.open(where) as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()
