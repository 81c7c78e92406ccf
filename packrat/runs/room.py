"""Lack of room: which replaced folders could be deleted, and how."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packrat.text.report import bytes_text
from stages.errors import SourceError
from stages.in_place.replaced import replaced_folders
from stages.restore_target.target import existing
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)


def lacks_room(error: BaseException | None) -> bool:
    """Return whether an error was caused by a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def room_hints(state_dir: str, *paths: str) -> Iterator[None]:
    """Add to an error for lack of room at some paths which replaced folders could be deleted."""
    try:
        yield
    except (SourceError, VaultError) as error:
        if lacks_room(error) and (text := forgettable_text(state_dir, paths)):
            error.hint = "; ".join(filter(None, (error.hint, text)))
        raise


def room_faults(state_dir: str, target: str, size: int) -> Iterator[str]:
    """Yield a sentence if the disk of `target` has less than `size` bytes free."""
    free = shutil.disk_usage(existing(target)).free
    if size > free:
        text = forgettable_text(state_dir, [target])
        room = f"{bytes_text(size)} needed, {bytes_text(free)} free"
        yield f"{target} has no room: {room}" + f"; {text}" * bool(text)


def forgettable_text(state_dir: str, paths: Iterable[str]) -> str:
    """Return the commands that delete replaced folders on the disks of some paths, or "".

    Packrat never deletes them early by itself.
    """
    disks = {os.stat(existing(path)).st_dev for path in paths}
    sizes: dict[str, int] = {}
    for one in replaced_folders(state_dir):
        if os.stat(existing(one.folder)).st_dev in disks:
            sizes[one.service] = sizes.get(one.service, 0) + one.bytes
    return "; ".join(
        f"packrat restore --forget {service} frees {bytes_text(size)}, what a restore in place set"
        " aside"
        for service, size in sizes.items()
    )
