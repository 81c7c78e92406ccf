"""Walk of a source in the order of the index, through directory handles: no path is too long."""

from __future__ import annotations

import errno
import os
import resource
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from stages import linux
from stages.errors import SourceError
from stages.source.folder_cache import listed
from stages.source.mounts import pseudo_type
from stages.source.open_folders import OPEN_FOLDER, OpenFolders
from vault.archive.ranges import PATH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from stages.source.exclude import Excludes
    from stages.source.folder_cache import FolderCache

MOUNTED = "is it mounted? Otherwise correct the service's path in the configuration"
NAME_BYTES = 1 << 10
"""Longest name in a folder, FUSE's."""


class Found(Struct, frozen=True, gc=False):
    """File in the tree; `fd` is open, for a folder, while the walk is at it."""

    path: str
    name: str
    folder: int
    stat: os.stat_result
    fd: int | None


def syncfs(fd: int) -> None:
    """Write out the filesystem that holds `fd`, so that it stamps mapped writes again."""
    with suppress(OSError):
        linux.syncfs(fd)


def open_source(path: str) -> int:
    """Open the folder that holds a service's data; raises SourceError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist", MOUNTED) from None
    except NotADirectoryError:
        raise SourceError(
            f"{path} is not a folder", "a service's path is the folder that holds its data"
        ) from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", MOUNTED) from None


def allow_deep_trees() -> None:
    """Raise the soft limit of open files: restores of deep trees hold many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def folders(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Return (device, inode) of the folders that exist."""
    found = set()
    for path in paths:
        with suppress(OSError):
            state = os.stat(path)
            found.add((state.st_dev, state.st_ino))
    return found


class Walk:
    """Walk over an open folder, as path "", and everything below it; it can be made once.

    It has an explicit stack, since a tree may be deeper than Python can recurse.
    """

    def __init__(
        self,
        root: int,
        excludes: Excludes,
        never: Collection[tuple[int, int]],
        unreadable: Callable[[str, OSError], None],
        folder_cache: FolderCache | None = None,
        *,
        one_file_system: bool = False,
    ) -> None:
        """Leave out the folders in `never`, by (device, inode), and what is excluded.

        Of a pseudo filesystem mounted inside, or with `one_file_system` of any, only the mount
        point is found. `unreadable` is called for what cannot be examined, listed or reached.
        `folder_cache` knows the folders of an earlier walk.
        """
        self._root = root
        self._excludes, self._never, self._unreadable = excludes, never, unreadable
        self._names_in = folder_cache.names if folder_cache else listed
        self._one_file_system = one_file_system
        self._handles = OpenFolders(root)
        self._levels: list[_Level] = []
        self._folder = root
        self._devices: set[int] = set()

    def __iter__(self) -> Iterator[Found]:
        """Yield what is found, in the order of the index.

        Each filesystem is synced when the walk enters it. Raises SourceError if the folder cannot
        be listed, or is in a pseudo filesystem.
        """
        state = os.fstat(self._root)
        if kind := pseudo_type(self._root):
            what = f"a service's folder is in a pseudo filesystem ({kind})"
            raise SourceError(what, "such files are made by the kernel; back up others")
        self._sync(state.st_dev, self._root)
        try:
            self._levels.append(_Level("", self._names_in(self._root), state.st_dev))
        except OSError as error:
            what = f"cannot list the service's folder: {error.strerror}"
            raise SourceError(what, MOUNTED) from None
        try:
            yield Found("", ".", self._root, state, self._root)
            while self._levels:
                depth = len(self._levels)
                yield from self._look()
                if len(self._levels) == depth:
                    self._leave()
        finally:
            self._handles.close()

    def _look(self) -> Iterator[Found]:
        """Yield the rest of the folder, up to a subfolder, which is entered."""
        lstat, excluded = os.lstat, self._excludes.excludes
        level, folder = self._levels[-1], self._folder
        for name in level.names:
            path = level.prefix + name
            out = excluded(path)
            if out and excluded(path + "/"):
                continue  # without examining it, which may fail or hang
            hollow = False
            try:
                found = lstat(name, dir_fd=folder)
                if not stat.S_ISDIR(found.st_mode):
                    if not out:
                        yield Found(path, name, folder, found, None)
                    continue
                if excluded(path + "/") or (found.st_dev, found.st_ino) in self._never:
                    continue
                hollow = self._excludes.excludes_all_below(path)
                inner, names, found = _enter(path, folder, _nothing if hollow else self._names_in)
                if found.st_dev != level.device and self._stops_at(inner):
                    names = []
            except FileNotFoundError:
                level.vanished.append(name)
                continue
            except OSError as error:
                if hollow:  # only the folder itself is in the backup
                    yield Found(path, name, folder, found, None)
                else:
                    self._unreadable(path, error)
                continue
            self._levels.append(_Level(path + "/", names, found.st_dev))
            self._handles.enter(name, inner, found)
            self._folder = inner
            self._sync(found.st_dev, inner)
            yield Found(path, name, folder, found, inner)
            return

    def _leave(self) -> None:
        """Go up to the next folder that still exists."""
        _report_listed(self._levels.pop(), self._folder, self._unreadable)
        while self._levels:
            try:
                self._folder = self._handles.leave()
            except OSError as error:
                self._unreadable(self._levels.pop().prefix[:-1], error)
            else:
                return

    def _stops_at(self, folder: int) -> bool:
        """Return whether the content of another filesystem is left out."""
        return self._one_file_system or bool(pseudo_type(folder))

    def _sync(self, device: int, folder: int) -> None:
        if device not in self._devices:
            self._devices.add(device)
            syncfs(folder)


class _Level:
    """Folder on the path of the walk."""

    def __init__(self, prefix: str, names: list[str], device: int) -> None:
        self.prefix = prefix
        self.device = device
        self.names = iter(names)
        self.vanished: list[str] = []
        """Names that were listed but did not exist."""


def _enter(
    path: str, folder: int, names_in: Callable[[int], list[str]]
) -> tuple[int, list[str], os.stat_result]:
    """Open and list a folder, and stat what was opened; raises OSError.

    It may be another one than before: opening a mount point may mount it.
    """
    if len(path) > PATH_BYTES // 4 and len(os.fsencode(path)) > PATH_BYTES - NAME_BYTES:
        raise OSError(errno.ENAMETOOLONG, "is nested too deeply")
    inner = os.open(path.rpartition("/")[2], OPEN_FOLDER, dir_fd=folder)
    try:
        return inner, names_in(inner), os.fstat(inner)
    except OSError:
        os.close(inner)
        raise


def _nothing(_: int) -> list[str]:
    return []


def _report_listed(level: _Level, folder: int, unreadable: Callable[[str, OSError], None]) -> None:
    """Report the vanished names that are still listed: they cannot be read, and are not deleted.

    Some network filesystems have such names.
    """
    if not level.vanished:
        return
    try:
        names = set(os.listdir(folder))
    except OSError:
        names = set()  # the folder went away, too
    for name in level.vanished:
        if name in names:
            try:
                os.lstat(name, dir_fd=folder)  # one that was created again comes too late
            except OSError as error:
                unreadable(level.prefix + name, error)
