"""Attributes of files: read from the source, and set on what is restored."""

from __future__ import annotations

import base64
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.format import Entry, text
from vault.archive.ranges import OWNER_LAST, TIME_FIRST, TIME_LAST, XATTRS_BYTES, clamped, within

if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[str], None]
    """Callback for what is not stored as it is, as the end of a sentence about the file's path."""

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
"""File types that can be stored; a socket is created again by the program that listens on it."""

OwnerAndMode = tuple[int, int, int]
"""User id, group id, mode."""

NO_XATTRS = (errno.ENOTSUP, errno.ENODATA, errno.ENOSYS)


@dataclass
class Unset:
    """Attribute that could not be set on some files."""

    NAMED = 3

    count: int = 0
    names: list[str] = field(default_factory=list)
    """Names of the first files."""

    def add(self, name: str) -> None:
        """Count a file."""
        self.count += 1
        if len(self.names) < self.NAMED:
            self.names.append(name)


def ignore(_: str) -> None:
    """Do nothing."""


def read_entry(path: str, found: os.stat_result, report: Report = ignore) -> Entry:
    """Return an entry for the result of lstat; its type must be one of TYPES.

    A number that no restore could set is replaced, reported, and read again by the next backup.
    Raises OSError for a size that no file can have.
    """
    plain, encoded = text(path)
    kind = stat.S_IFMT(found.st_mode)
    entry = Entry(
        plain,
        encoded,
        TYPES[kind],  # type: ignore[arg-type]
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
    )
    if kind == stat.S_IFREG:
        entry.size = found.st_size
        if not within("size", entry.size):
            raise OSError(errno.EOVERFLOW, f"reports a size of {entry.size} bytes")
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    if found.st_nlink > 1 and kind != stat.S_IFDIR:
        entry.link = (found.st_dev, found.st_ino)
    # Almost every entry passes this test, which runs for a million files.
    if not (
        0 <= entry.uid <= OWNER_LAST
        and 0 <= entry.gid <= OWNER_LAST
        and TIME_FIRST <= entry.mtime <= TIME_LAST
        and TIME_FIRST <= entry.ctime <= TIME_LAST
    ):
        _clamp(entry, report)
    return entry


def _clamp(entry: Entry, report: Report) -> None:
    """Replace the numbers that no restore could set by the nearest ones, and report them."""
    if not (within("uid", entry.uid) and within("gid", entry.gid)):
        report(f"is stored with another owner: {entry.uid}:{entry.gid} cannot be restored")
        entry.uid, entry.gid = clamped("uid", entry.uid), clamped("gid", entry.gid)
        entry.unsettled = True
    if not within("mtime", entry.mtime):
        report("is stored with another time: the one it has cannot be restored")
        entry.mtime = clamped("mtime", entry.mtime)
        entry.unsettled = True
    entry.ctime = clamped("ctime", entry.ctime)


def same_state(entry: Entry, now: os.stat_result) -> bool:
    """Return whether a file that was read earlier in this run is still in the same state."""
    return (
        entry.inode == now.st_ino
        and entry.ctime == now.st_ctime_ns
        and entry.mtime == now.st_mtime_ns
        and (entry.size == now.st_size or entry.type != "file")
    )


def read_target(entry: Entry, name: str, folder: int) -> None:
    """Read the target of a symlink into an entry; raises OSError."""
    target = os.readlink(name, dir_fd=folder)
    if not target:
        raise OSError(errno.EINVAL, "is a symlink without a target")
    entry.target, entry.target64 = text(target)


def read_xattrs(entry: Entry, at: int | str, report: Report = ignore) -> None:
    """Read extended attributes, including ACLs, of a descriptor or of a path itself.

    An attribute that cannot be read or stored is reported and left out, and the next backup reads
    the file again.
    """
    follow = isinstance(at, int)
    try:
        names = os.listxattr(at, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in NO_XATTRS:
            report(f"is stored without its extended attributes: {error.strerror}")
            entry.unsettled = True
        return
    if not names:
        return
    plain: dict[str, str] = {}
    encoded: dict[str, str] = {}
    room = XATTRS_BYTES
    for name in names:
        try:
            value = os.getxattr(at, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in NO_XATTRS:  # otherwise it was removed meanwhile
                report(f"is stored without its attribute {name!r}: {error.strerror}")
                entry.unsettled = True
            continue
        room -= len(value) + len(os.fsencode(name))
        if room < 0:
            report(
                f"is stored without its attribute {name!r}: all take over {XATTRS_BYTES:,} bytes"
            )
            entry.unsettled = True
            break
        as_text, as_base64 = text(name)
        (plain if as_base64 is None else encoded)[as_base64 or as_text] = base64.b64encode(
            value
        ).decode()
    entry.xattrs, entry.xattrs64 = plain, encoded


def owner_and_mode(found: os.stat_result) -> OwnerAndMode:
    """Return what a change of owner or mode would change."""
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
