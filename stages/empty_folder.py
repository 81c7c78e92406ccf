"""Deletion of everything in a folder, through handles and never across a mount point."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from stages import linux
from stages.restore_target.handles import OPEN_FOLDER
from stages.source.walk import allow_deep_trees

_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def empty_folder(folder: int, *, only_folders: bool = False) -> list[str]:
    """Delete everything in an open folder; return what could not be deleted, with the reason.

    Mounted filesystems inside stay, with the folders that lead to them. With `only_folders`, files
    stay as well.
    """
    allow_deep_trees()
    mount = linux.state_of(folder, ".").mount
    failed: list[str] = []
    top = os.open(".", OPEN_FOLDER, dir_fd=folder)
    stack = [("", top, _names(top))]
    try:
        while stack:
            path, fd, names = stack[-1]
            if names:
                name = names.pop()
                inner = _delete(fd, name, mount, f"{path}{name}", failed, only_folders)
                if inner is not None:
                    stack.append((f"{path}{name}/", inner, _names(inner)))
                continue
            stack.pop()
            os.close(fd)
            if stack:
                try:
                    os.rmdir(path.rstrip("/").rpartition("/")[2], dir_fd=stack[-1][1])
                except OSError as error:
                    failed.append(f"{path}: {error.strerror}")
    finally:
        for _, fd, _ in stack:
            os.close(fd)
    return failed


def _delete(
    folder: int,
    name: str,
    mount: int,
    path: str,
    failed: list[str],
    only_folders: bool,  # noqa: FBT001
) -> int | None:
    """Delete a file, or open a folder whose content must be deleted first."""
    try:
        state = linux.state_of(folder, name)
        if state.mount != mount:
            failed.append(f"{path}: another filesystem is mounted there")
        elif stat.S_ISDIR(state.mode):
            return _open_writable(folder, name)
        elif not only_folders:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        failed.append(f"{path}: {error.strerror}")
    return None


def _open_writable(folder: int, name: str) -> int:
    """Open a folder, after making it readable and writable if its owner may not delete in it."""
    handle = os.open(name, _HANDLE, dir_fd=folder)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if os.geteuid() and mode & stat.S_IRWXU != stat.S_IRWXU:
            with suppress(OSError):
                linux.chmod_handle(handle, mode | stat.S_IRWXU)
        return os.open(".", OPEN_FOLDER, dir_fd=handle)
    finally:
        os.close(handle)


def _names(folder: int) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(folder)
    return []
