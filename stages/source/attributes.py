"""What a file has besides its bytes: read from the source, and set on what is restored."""

from __future__ import annotations

import base64
import errno
import os
import stat
from dataclasses import dataclass, field

from vault.archive.format import Entry, text

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
"""File types that can be stored; sockets are made anew by who listens on them."""

OwnerAndMode = tuple[int, int, int]
"""User id, group id, mode."""

NO_XATTRS = (errno.ENOTSUP, errno.ENODATA, errno.ENOSYS)


@dataclass
class Unset:
    """Something that could not be set on some files."""

    NAMED = 3

    count: int = 0
    names: list[str] = field(default_factory=list)
    """The first of them."""

    def add(self, name: str) -> None:
        """Count a file."""
        self.count += 1
        if len(self.names) < self.NAMED:
            self.names.append(name)


def read_entry(path: str, found: os.stat_result) -> Entry:
    """Make an entry of what lstat found; its type must be one of TYPES."""
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
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    if found.st_nlink > 1 and kind != stat.S_IFDIR:
        entry.link = (found.st_dev, found.st_ino)
    return entry


def read_target(entry: Entry, name: str, folder: int) -> None:
    """Read where a symlink points."""
    entry.target, entry.target64 = text(os.readlink(name, dir_fd=folder))


def read_xattrs(entry: Entry, at: int | str) -> None:
    """Read extended attributes, ACLs among them, of a descriptor or of a path itself."""
    follow = isinstance(at, int)
    try:
        names = os.listxattr(at, follow_symlinks=follow)
    except OSError as error:
        if error.errno in NO_XATTRS:
            return
        raise
    if not names:
        return
    plain: dict[str, str] = {}
    encoded: dict[str, str] = {}
    for name in names:
        try:
            value = os.getxattr(at, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno in NO_XATTRS:
                continue  # removed meanwhile
            raise
        as_text, as_base64 = text(name)
        (plain if as_base64 is None else encoded)[as_base64 or as_text] = base64.b64encode(
            value
        ).decode()
    entry.xattrs, entry.xattrs64 = plain, encoded


def owner_and_mode(found: os.stat_result) -> OwnerAndMode:
    """Give what a change of owner or mode would change."""
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
