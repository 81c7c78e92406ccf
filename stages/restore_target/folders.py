"""Folders below one that is open, by handles: no step leads outside, and no link is followed."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from contextlib import suppress

from stages.restore_target.handles import OPEN_FOLDER
from vault.errors import Damaged

HANDLES = 4096
"""Half of what the process may open, at the most. After many backups files come from all over the
tree: with 256, every fifth open is of a folder that was open before (measured)."""


class Folders:
    """Opens folders below a root, and keeps the last ones open."""

    def __init__(self, root: int) -> None:
        """`root` is an open folder, and stays its opener's to close."""
        self._root = root
        self._open: OrderedDict[str, int] = OrderedDict()
        self._most = min(HANDLES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    def close(self) -> None:
        """Close all but the root."""
        while self._open:
            os.close(self._open.popitem()[1])

    def parent(self, path: str) -> tuple[int, str]:
        """Return the open folder of a path, and its last name; raises Damaged for a hostile path.

        Every folder is opened below the one before and no link is followed, so neither an archive
        nor a user who changes the tree meanwhile can lead outside.
        """
        folder, _, name = path.rpartition("/")
        _require_name(name, path)
        missing = []
        while folder and folder not in self._open:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        if folder:
            self._open.move_to_end(folder)
        fd = self._open[folder] if folder else self._root
        for folder in reversed(missing):
            inner = folder.rpartition("/")[2]
            _require_name(inner, path)
            fd = self.enter(inner, fd)
            self._open[folder] = fd
            if len(self._open) > self._most:
                os.close(self._open.popitem(last=False)[1])
        return fd, name

    def enter(self, name: str, above: int) -> int:
        """Open a folder right below an open one; the handle is the caller's to close."""
        return os.open(name, OPEN_FOLDER, dir_fd=above)


class NewFolders(Folders):
    """Makes what is missing: closed to others, and passing nothing on, until all is done."""

    def __init__(self, root: int, *, again: bool) -> None:
        """`again` when some may stand since last time, with attributes."""
        super().__init__(root)
        self._again = again

    def enter(self, name: str, above: int) -> int:
        """Open a folder, or make it."""
        try:
            folder = super().enter(name, above)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was quicker
                os.mkdir(name, 0o700, dir_fd=above)
            return super().enter(name, above)
        if self._again:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():  # until all is done nobody else may change it
                with suppress(PermissionError):
                    os.fchown(folder, os.geteuid(), os.getegid())
            os.fchmod(folder, 0o700)
            inherit_nothing(folder)
        return folder


def _require_name(name: str, path: str) -> None:
    if name in ("", ".", "..") or "\0" in name:
        raise Damaged(repr(path), "is not a path that a backup can hold; nothing was written there")


def inherit_nothing(folder: int) -> None:
    """Keep what is made in a folder from taking over ACLs that no backup has: they let others in.

    Its own come back with its attributes.
    """
    for acl in ("system.posix_acl_default", "system.posix_acl_access"):
        with suppress(OSError):
            os.removexattr(folder, acl)


def seal(folder: int) -> None:
    """Close an open folder to everybody but its owner, the caller."""
    found = os.fstat(folder)
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(folder, os.geteuid(), os.getegid())
    inherit_nothing(folder)
    os.fchmod(folder, 0o700)
