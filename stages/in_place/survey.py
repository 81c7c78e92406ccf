"""Survey of a service's folder: what an in-place restore must leave where it is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from stages import linux
from stages.restore_target.handles import OPEN_FOLDER
from stages.source.mounts import mounts
from stages.source.walk import allow_deep_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from stages.source.exclude import Excludes


class Why(StrEnum):
    """Reason for leaving something where it is."""

    EXCLUDED = "excluded"
    OWN = "own"
    """Packrat writes there: a destination, the spool, the state, another restore."""
    MOUNT = "mount"
    """Another filesystem is mounted there."""
    SOCKET = "socket"
    """No backup has it, and a server that keeps running may listen on it."""


class Survey:
    """Paths that stay, and the folders that contain them, relative to the service's folder."""

    def __init__(
        self,
        root: int,
        excludes: Excludes,
        own: Collection[tuple[int, int]],
        skip: Callable[[], None] = lambda: None,
    ) -> None:
        """Walk everything below an open folder; raises OSError.

        `own` has (device, inode) of Packrat's folders. `skip` is called for each folder and may
        raise.
        """
        self.stays: dict[str, Why] = {}
        self.holding: set[str] = set()
        self._excludes, self._own = excludes, own
        self._mount = linux.state_of(root, ".").mount
        self._files_too = mounts_below(root) != []
        allow_deep_trees()
        self._walk(root, skip)

    def _walk(self, root: int, skip: Callable[[], None]) -> None:
        stack = [("", os.open(".", OPEN_FOLDER, dir_fd=root), _entries(root))]
        try:
            while stack:
                folder, fd, names = stack[-1]
                name, is_folder, is_socket = next(names, ("", False, False))
                if not name:
                    os.close(fd)
                    stack.pop()
                    continue
                path = f"{folder}/{name}" if folder else name
                try:
                    why = Why.SOCKET if is_socket else self._why(path, fd, is_folder=is_folder)
                    if why:
                        self.stays[path] = why
                        for above, _, _ in reversed(stack):
                            if above in self.holding:
                                break
                            self.holding.add(above)
                    elif is_folder:
                        skip()
                        inner = os.open(name, OPEN_FOLDER, dir_fd=fd)
                        stack.append((path, inner, _entries(inner)))
                except (FileNotFoundError, NotADirectoryError):
                    continue  # deleted since it was listed
        finally:
            for _, fd, _ in stack:
                os.close(fd)

    def _why(self, path: str, folder: int, *, is_folder: bool) -> Why | None:
        if is_folder or self._files_too:
            state = linux.state_of(folder, path.rpartition("/")[2])
            if state.mount != self._mount:
                return Why.MOUNT
            if is_folder and (state.device, state.inode) in self._own:
                return Why.OWN
        return Why.EXCLUDED if self._excludes.excludes(path + "/" * is_folder) else None


def mounts_below(root: int) -> list[str] | None:
    """Return the mount points below an open folder, including single files.

    The paths are relative to the folder. None if the system does not report mounts.
    """
    try:
        top = os.readlink(f"/proc/self/fd/{root}").rstrip("/") + "/"
        points = [mount.point for mount in mounts()]
    except (OSError, ValueError):
        return None
    return sorted({point.removeprefix(top) for point in points if point.startswith(top)})


def mounts_in(path: str) -> list[str]:
    """Return the known mount points inside a folder, by relative path."""
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return mounts_below(root) or []
    finally:
        os.close(root)


def _entries(folder: int) -> Iterator[tuple[str, bool, bool]]:
    """Yield each name, whether it is a folder, and whether it is a socket."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from [
            (entry.name, entry.is_dir(follow_symlinks=False), _is_socket(entry))
            for entry in entries
        ]


def _is_socket(entry: os.DirEntry[str]) -> bool:
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return False
    with suppress(FileNotFoundError):
        return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)
    return False  # deleted since it was listed
