"""`packrat mount`: all backups as folders."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from packrat.browse.library import AllBackups
from packrat.errors import Unusable, UsageError
from packrat.text.report import count_text
from vault.browse import PackratFileSystem

if TYPE_CHECKING:
    from packrat.program import Program

INSTALL = "install it: apt install fuse3 libfuse3-3"


def mount(program: Program, folder: str, source: str | None, *, allow_other: bool) -> None:
    """Serve the backups on a folder until it is unmounted; raises UsageError, Unusable."""
    folder = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(folder) or os.listdir(folder):
        raise UsageError(f"{folder} is not an empty folder: packrat mounts only on one")
    try:
        from packrat.browse.fuse import serve
    except OSError as error:
        raise Unusable(f"libfuse cannot be loaded: {error}", INSTALL) from None
    library = AllBackups(program, source)
    count = sum(len(library.backups(service)) for service in library.services())
    print(
        f"{count_text(count, 'backup')} at {folder}; to unmount: Ctrl-C, or umount {folder}",
        file=sys.stderr,
    )
    try:
        serve(PackratFileSystem(library), folder, allow_other=allow_other)
    except RuntimeError as error:
        raise Unusable(f"{folder} cannot be mounted: libfuse reports {error}", INSTALL) from None
