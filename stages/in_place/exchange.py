"""Single step of an in-place restore: one atomic exchange, checked afterwards.

Each side is an open folder and a name in it. Where the filesystem has no exchange, a `spare` name
in Packrat's folder holds the old file between two renames.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stages import linux
from stages.errors import TargetError
from stages.in_place.identity import identify, is_same
from stages.restore_target.handles import OPEN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.in_place.identity import Identity

UNSUPPORTED = (errno.EINVAL, errno.ENOSYS)
"""The filesystem, or the kernel, has no rename with flags. No other error means that."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
TRIAL = ("trial-a", "trial-b")

Place = tuple[int, str]


def supports_exchange(folder: int) -> bool:
    """Try one exchange inside Packrat's folder; raises OSError for any other failure."""
    for name in TRIAL:
        with suppress(FileNotFoundError):  # left by a trial that was interrupted
            os.unlink(name, dir_fd=folder)
    for name in TRIAL:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        before = [identify(folder, name) for name in TRIAL]
        try:
            linux.exchange(folder, TRIAL[0], folder, TRIAL[1])
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return False
            raise
        return before == [identify(folder, name) for name in reversed(TRIAL)]
    finally:
        for name in TRIAL:
            os.unlink(name, dir_fd=folder)


def put(here: Place, slot: Place, old: Identity | None, new: Identity | None, spare: Place) -> None:
    """Move the new file from the slot to its final name, and the recorded old file to the slot.

    `spare[1]` is "" if the filesystem can exchange. If something other than `old` arrives in the
    slot, it is moved back and TargetError is raised. Raises OSError.
    """
    if old is None:
        move(slot, here)
    elif new is None:
        move(here, slot)
        if not is_same(*slot, old):
            with suppress(FileExistsError):  # its owner has created another one since: both stay
                move(slot, here)
            raise changed(here[1])
    elif not spare[1]:
        _exchange(here, slot)
        if not is_same(*slot, old):
            _exchange(here, slot)
            if not is_same(*slot, new):  # written meanwhile, so it is newer than what went back
                _exchange(here, slot)
            raise changed(here[1])
    else:
        move(here, spare)
        if not is_same(*spare, old):
            with suppress(FileExistsError):
                move(spare, here)
            raise changed(here[1])
        move(slot, here)
        move(spare, slot)


def trade(here: Place, slot: Place, spare: Place) -> None:
    """Exchange the slot's file with the one at the final name; both exist. Raises OSError."""
    if not spare[1]:
        _exchange(here, slot)
        return
    move(here, spare)
    move(slot, here)
    move(spare, slot)


def move(source: Place, target: Place) -> None:
    """Rename to a name that must be free; raises FileExistsError and other OSErrors."""
    with _movable(source):
        try:
            linux.rename_noreplace(*source, *target)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            _move_without_flags(source, target)


def changed(name: str) -> TargetError:
    """Return the error for a file that is no longer the recorded one."""
    return TargetError(
        f"{name!r} is not the recorded file any more: another program replaced it, or an overlay"
        " filesystem copied it",
        "stop what writes there, then repeat the command; or restore to a folder with --to",
    )


def exists(place: Place) -> bool:
    """Return whether a name exists, without following symlinks."""
    try:
        os.stat(place[1], dir_fd=place[0], follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _exchange(here: Place, slot: Place) -> None:
    with _movable(here, slot):
        linux.exchange(*here, *slot)


def _move_without_flags(source: Place, target: Place) -> None:
    """Rename without ever replacing a file.

    A hard link fails if the name is taken. A folder is never renamed over a file or a folder with
    content.
    """
    state = os.stat(source[1], dir_fd=source[0], follow_symlinks=False)
    if not stat.S_ISDIR(state.st_mode):
        try:
            os.link(
                source[1],
                target[1],
                src_dir_fd=source[0],
                dst_dir_fd=target[0],
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            os.unlink(source[1], dir_fd=source[0])
            return
    if exists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target[1])
    os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])


@contextmanager
def _movable(*places: Place) -> Iterator[None]:
    """Make folders writable for the moment of a move, which changes their `..` entry.

    Root needs no permission for it.
    """
    opened: list[tuple[int, int]] = []
    try:
        for folder, name in places if os.geteuid() else ():
            with suppress(OSError):
                fd = os.open(name, OPEN_FOLDER, dir_fd=folder)
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
                opened.append((fd, mode))
                if mode & stat.S_IRWXU != stat.S_IRWXU:
                    os.fchmod(fd, mode | stat.S_IRWXU)
        yield
    finally:
        for fd, mode in opened:
            with suppress(OSError):
                if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
                    os.fchmod(fd, mode)
            os.close(fd)
