"""Path of a walk from the root to the current folder, whose deepest folders are open."""

from __future__ import annotations

import errno
import os

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_AT_ONCE = 256
"""Folders that are open, at most: file descriptors are limited, the depth of a tree is not."""


class OpenFolders:
    """Stack of folders, each inside the previous one. Closed ones are opened again when needed."""

    def __init__(self, root: int) -> None:
        """Start at `root`, an open folder, which the caller closes."""
        self._handles = [root]
        """File descriptors; -1 for a closed one."""
        self._steps: list[tuple[str, tuple[int, int]]] = []
        """Name and (device, inode) of each folder below the root."""

    def enter(self, name: str, handle: int, found: os.stat_result) -> None:
        """Go down into an open folder, whose handle is closed here from now on."""
        self._handles.append(handle)
        self._steps.append((name, (found.st_dev, found.st_ino)))
        old = len(self._handles) - 1 - OPEN_AT_ONCE
        if old > 0 and self._handles[old] >= 0:
            os.close(self._handles[old])
            self._handles[old] = -1

    def leave(self) -> int:
        """Go up and return the handle of the parent folder.

        Raises OSError if that was moved or deleted; a further call then goes up from there.
        """
        inner = self._handles.pop()
        self._steps.pop()
        try:
            if self._handles[-1] < 0:
                self._handles[-1] = self._reopened(inner)
        finally:
            if inner >= 0:
                os.close(inner)
        return self._handles[-1]

    def close(self) -> None:
        """Close all but the root."""
        for handle in self._handles[1:]:
            if handle >= 0:
                os.close(handle)
        del self._handles[1:]

    def _reopened(self, inner: int) -> int:
        """Open the last folder again, from the one that was inside it, otherwise from the root."""
        if inner >= 0:
            above = os.open("..", OPEN_FOLDER, dir_fd=inner)
            if _identity(above) == self._steps[-1][1]:
                return above
            os.close(above)  # the inner one was moved
        above = os.dup(self._handles[0])
        for name, identity in self._steps:
            try:
                below = os.open(name, OPEN_FOLDER, dir_fd=above)
            finally:
                os.close(above)
            above = below
            if _identity(above) != identity:
                os.close(above)
                raise FileNotFoundError(errno.ENOENT, "the folder was moved while it was read")
        return above


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino
