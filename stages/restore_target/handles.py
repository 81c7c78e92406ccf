"""Folders opened step by step, so that no user can redirect a path while it is used."""

from __future__ import annotations

import os
import stat

from stages.errors import TargetError

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS_THROUGH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40


def open_service(path: str, *, create: bool = False) -> int:
    """Open the folder of a service, or another one that the configuration names.

    A symlink on the way is followed only if nobody but root and the caller can have created it.
    With `create`, missing folders are created. Raises TargetError for an untrusted symlink, and
    OSError.
    """
    names = _parts(os.path.abspath(path))
    folder = os.open("/", _PASS_THROUGH)
    links = 0
    try:
        while names:
            name = names.pop(0)
            try:
                inner = os.open(name, _PASS_THROUGH, dir_fd=folder)
            except FileNotFoundError:
                if not create:
                    raise OSError(2, os.strerror(2), path) from None
                inner = _make_folder(folder, name, passable=bool(names))
            except NotADirectoryError:
                target = _trusted_link(folder, name, path)
                links += 1
                if links > _MOST_LINKS:
                    raise TargetError(f"{path} has too many symlinks", "name its real path") from (
                        None
                    )
                names = _parts(target) + names
                if target.startswith("/"):
                    os.close(folder)
                    folder = os.open("/", _PASS_THROUGH)
                continue
            os.close(folder)
            folder = inner
        return os.open(".", OPEN_FOLDER, dir_fd=folder)
    finally:
        os.close(folder)


def _make_folder(folder: int, name: str, *, passable: bool) -> int:
    """Create a folder and open it. One on the way to the target is `passable` for its users.

    The umask is 077. Only an empty folder gets another mode: another user may have put one there.
    """
    os.mkdir(name, dir_fd=folder)
    made = os.open(name, OPEN_FOLDER, dir_fd=folder)
    if passable and not os.listdir(made):
        os.fchmod(made, 0o755)
    return made


def open_below(root: int, path: str) -> int:
    """Open a folder below an open one, one name at a time; the caller closes the handle.

    Raises OSError, also for a symlink on the way.
    """
    folder = os.open(".", OPEN_FOLDER, dir_fd=root)
    for name in _parts(path):
        try:
            inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _trusted_link(folder: int, name: str, path: str) -> str:
    """Return where a symlink points; raise TargetError if another user can have created it."""
    link = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(link.st_mode):
        raise TargetError(f"{path} is not a folder: {name!r} is a file", "correct the path")
    around = os.fstat(folder)
    trusted = {0, os.geteuid()}
    shared = around.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if link.st_uid not in trusted or around.st_uid not in trusted or shared:
        raise TargetError(
            f"{path} leads through the symlink {name!r}, which another user can change",
            "name the real path in the configuration",
        )
    return os.readlink(name, dir_fd=folder)
