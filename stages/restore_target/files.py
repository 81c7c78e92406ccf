"""Files that a restore has created: opened again, written, and copied."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from vault.durable import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable

COPIED_BYTES = 1 << 20
OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_restored(name: str, folder: int) -> int:
    """Open a file that this restore has created; raises OSError if something else replaced it."""
    fd = os.open(name, OLD_FILE, dir_fd=folder)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return fd
    os.close(fd)
    raise OSError(errno.ESTALE, "it was replaced during the restore", name)


def copy_extents(old: int, new: int, extents: Iterable[tuple[int, int]]) -> None:
    """Copy the (offset, length) of `extents` from an open file to another; raises OSError."""
    for start, length in extents:
        for at in range(start, start + length, COPIED_BYTES):
            write_all(new, os.pread(old, min(COPIED_BYTES, start + length - at), at), at)
