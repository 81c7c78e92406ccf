"""Owner, mode, extended attributes and times of restored files."""

from __future__ import annotations

import base64
import errno
import os
import stat
from typing import TYPE_CHECKING

from stages import linux
from stages.source.attributes import OwnerAndMode, owner_and_mode
from vault.archive.format import untext

if TYPE_CHECKING:
    from vault.archive.format import Entry

SETID = stat.S_ISUID | stat.S_ISGID
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def set_attributes(
    entry: Entry, name: str, folder: int, fd: int | None, has: OwnerAndMode | None = None
) -> list[str]:
    """Set owner, mode, xattrs and times of what was restored as `name` in an open folder.

    `fd` is the open file or folder, None for types that cannot be opened without an effect; `has`
    is its owner and mode if known. Return what could not be set. The order matters: a change of
    owner drops setuid and capabilities, and any change sets the times.
    """
    unset = []
    if has is None:
        at = os.stat(name, dir_fd=folder, follow_symlinks=False) if fd is None else os.stat(fd)
        has = owner_and_mode(at)
    wanted = (entry.uid, entry.gid, entry.mode)
    try:
        if has[:2] == wanted[:2]:
            pass
        elif fd is None:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        else:
            os.fchown(fd, entry.uid, entry.gid)
    except (OSError, OverflowError):
        unset.append("owner")
        if entry.mode & SETID:
            # It would give the program from the archive the rights of the user who runs the
            # restore.
            unset.append("setuid or setgid")
            wanted = (entry.uid, entry.gid, entry.mode & ~SETID)
    try:
        if has == wanted or entry.type == "symlink":
            pass
        elif fd is None:
            _chmod_special(name, folder, wanted[2])
        else:
            os.fchmod(fd, wanted[2])
    except (OSError, OverflowError):
        unset.append("mode")
    if entry.xattrs or entry.xattrs64:
        unset += _set_xattrs(entry, fd if fd is not None else f"/proc/self/fd/{folder}/{name}")
    try:
        # The access time is not stored; a restored file counts as read when it was written.
        times = (entry.mtime, entry.mtime)
        if fd is not None:
            os.utime(fd, ns=times)
        else:
            os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
    except (OSError, OverflowError):
        unset.append("times")
    return unset


def _set_xattrs(entry: Entry, at: int | str) -> list[str]:
    unset = []
    values = [(name, value) for name, value in entry.xattrs.items()]
    values += [(untext("", name), value) for name, value in entry.xattrs64.items()]
    for name, value in values:
        try:
            os.setxattr(at, name, base64.b64decode(value), follow_symlinks=isinstance(at, int))
        except (OSError, ValueError):
            unset.append(f"xattr {name}")
    return unset


def _chmod_special(name: str, folder: int, mode: int) -> None:
    """Set the mode of a fifo or device, but not of anything that replaced it; raises OSError."""
    handle = os.open(name, _HANDLE, dir_fd=folder)
    try:
        kind = os.fstat(handle).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISBLK(kind) or stat.S_ISCHR(kind)):
            raise OSError(errno.ESTALE, "it was replaced during the restore", name)
        linux.chmod_handle(handle, mode)
    finally:
        os.close(handle)
