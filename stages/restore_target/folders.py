"""Folders below an open one, through handles: no step leads outside, and no link is followed."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from stages.restore_target.handles import OPEN_FOLDER
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDLES = 4096
"""At most half of what the process may open. After many backups files come from all over the tree:
with 256, every fifth open was of a folder that had been open before (measured)."""


class Folders:
    """Folders opened below the roots of a backup; the last ones stay open."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        """Work below open folders, which stay their opener's to close.

        They are given by the paths of the backup that they hold: "" for all, or one for each label.
        """
        self._roots = roots
        self._open: OrderedDict[str, int] = OrderedDict()
        self._most = min(HANDLES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    def close(self) -> None:
        """Close all but the roots."""
        while self._open:
            os.close(self._open.popitem()[1])

    def parent(self, path: str) -> tuple[int, str]:
        """Return the open folder of a path, and its last name; raises Damaged for a hostile path.

        The name of a root that is open by itself is ".".
        Every folder is opened below the one before and no link is followed, so neither an archive
        nor a user who changes the tree meanwhile can lead outside.
        """
        if path and path in self._roots:
            return self._roots[path], "."
        folder, _, name = path.rpartition("/")
        _require_name(name, path)
        missing = []
        while folder and folder not in self._open and folder not in self._roots:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        if folder in self._open:
            self._open.move_to_end(folder)
            fd = self._open[folder]
        elif folder in self._roots:
            fd = self._roots[folder]
        else:
            raise Damaged(repr(path), "is in no root that is restored; nothing was written there")
        for folder in reversed(missing):
            inner = folder.rpartition("/")[2]
            _require_name(inner, path)
            fd = self.enter(inner, fd)
            self._open[folder] = fd
            if len(self._open) > self._most:
                os.close(self._open.popitem(last=False)[1])
        return fd, name

    def enter(self, name: str, above: int) -> int:
        """Open a folder right below an open one; the caller closes the handle."""
        return os.open(name, OPEN_FOLDER, dir_fd=above)


class NewFolders(Folders):
    """Folders that are created if missing, closed to others and without ACLs until the end."""

    def __init__(self, roots: Mapping[str, int], *, again: bool) -> None:
        """With `again`, some may exist from an interrupted restore, with attributes."""
        super().__init__(roots)
        self._again = again

    def enter(self, name: str, above: int) -> int:
        """Open a folder, or create it."""
        try:
            folder = super().enter(name, above)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another program was quicker
                os.mkdir(name, 0o700, dir_fd=above)
            return super().enter(name, above)
        if self._again:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():  # until the end, no other user may change it
                with suppress(PermissionError):
                    os.fchown(folder, os.geteuid(), os.getegid())
            os.fchmod(folder, 0o700)
            inherit_nothing(folder)
        return folder


def _require_name(name: str, path: str) -> None:
    if name in ("", ".", "..") or "\0" in name:
        raise Damaged(repr(path), "is not a path that a backup can hold; nothing was written there")


def inherit_nothing(folder: int) -> None:
    """Keep new files in a folder from inheriting ACLs that no backup has and that let others in.

    The folder's own ACLs come back with its attributes.
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
