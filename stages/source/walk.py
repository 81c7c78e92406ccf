"""Walk a folder in the order of the index, by directory handles: no path is too long."""

from __future__ import annotations

import ctypes
import os
import resource
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from stages.errors import SourceError
from stages.source.folder_cache import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from stages.source.exclude import Excludes
    from stages.source.folder_cache import Listings

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class Found(Struct, frozen=True, gc=False):
    """Something in the tree. `fd` is open for folders, as long as the walk stands at it."""

    path: str
    name: str
    folder: int
    stat: os.stat_result
    fd: int | None


def syncfs(fd: int) -> None:
    """Write out the file system that holds `fd`, so that it stamps mapped writes again."""
    _libc.syncfs(fd)


def open_source(path: str) -> int:
    """Open the folder that a service's data is in; raises SourceError."""
    mend = "is it mounted? Otherwise mend the service's path in the configuration"
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist", mend) from None
    except NotADirectoryError:
        raise SourceError(
            f"{path} is not a folder", "a service's path is the folder that holds its data"
        ) from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", mend) from None


def allow_deep_trees() -> None:
    """Raise the soft limit of open files: a walk holds one for each level."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def folders(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Give (device, inode) of those that exist."""
    found = set()
    for path in paths:
        with suppress(OSError):
            state = os.stat(path)
            found.add((state.st_dev, state.st_ino))
    return found


def walk(
    root: int,
    excludes: Excludes,
    never: Collection[tuple[int, int]],
    unreadable: Callable[[str, OSError], None],
    listings: Listings | None = None,
) -> Iterator[Found]:
    """Give everything below the open folder `root`, and itself first, as path "".

    Folders in `never`, by (device, inode), are left out. `unreadable` is told of what cannot be
    listed. `listings` knows folders of a walk before. Each file system is synced when the walk
    enters it.
    """
    lstat = os.lstat
    names_in = listings.names if listings else listed
    found = os.fstat(root)
    syncfs(root)
    devices = {found.st_dev}
    stack = [("", root, iter(names_in(root)))]
    try:
        yield Found("", ".", root, found, root)
        while stack:
            prefix, folder, names = stack[-1]
            inner = None
            for name in names:
                path = prefix + name
                try:
                    found = lstat(name, dir_fd=folder)
                    if not stat.S_ISDIR(found.st_mode):
                        if not excludes.excludes(path):
                            yield Found(path, name, folder, found, None)
                        continue
                    if excludes.excludes(path + "/") or (found.st_dev, found.st_ino) in never:
                        continue
                    hollow = excludes.excludes_all_below(path)
                    inner = _enter(name, folder, _nothing if hollow else names_in)
                except FileNotFoundError:
                    continue  # it went away since it was listed
                except OSError as error:
                    unreadable(path, error)
                    continue
                if found.st_dev not in devices:
                    devices.add(found.st_dev)
                    syncfs(inner[0])
                stack.append((path + "/", *inner))
                yield Found(path, name, folder, found, inner[0])
                break
            if inner is None:
                stack.pop()
                if stack:
                    os.close(folder)
    finally:
        for _, fd, _ in stack[1:]:
            os.close(fd)


def _enter(
    name: str, folder: int, names_in: Callable[[int], list[str]]
) -> tuple[int, Iterator[str]]:
    fd = os.open(name, OPEN_FOLDER, dir_fd=folder)
    try:
        return fd, iter(names_in(fd))
    except OSError:
        os.close(fd)
        raise


def _nothing(_: int) -> list[str]:
    return []
