"""Plan of an in-place restore: which paths are exchanged, and what stays where it is."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from stages.in_place.exchange import exists
from stages.in_place.identity import identify
from stages.in_place.record import Stay, Step
from stages.in_place.survey import Why
from stages.restore_target.handles import open_below
from stages.source.attributes import read_entry, read_xattrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stages.in_place.exchange import Place
    from stages.in_place.survey import Survey
    from vault.archive.format import Entry

_NOT_A_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Left(msgspec.Struct, frozen=True):
    """Path that the backup has and that is not restored in place."""

    path: str
    why: Why


def plan_swap(root: int, tree: int, found: Survey, paths: Sequence[str]) -> Plan:
    """Compare a service's folder with the restored tree; raises OSError and TargetError.

    With `paths`, only these are replaced. A folder with content that must stay is merged entry by
    entry.
    """
    plan = Plan(root, tree, found)
    if paths:
        plan.replace_paths(paths)
    else:
        plan.merge("")
    return plan


class Plan:
    """Steps of an in-place restore, while they are planned."""

    def __init__(self, root: int, tree: int, found: Survey) -> None:
        self._root, self._tree, self._found = root, tree, found
        self.steps: list[Step] = []
        self.stays: list[Stay] = []
        self.kept: list[str] = []
        """Paths in the folders that stay that are left alone."""
        self.left: list[Left] = []

    def replace_paths(self, paths: Sequence[str]) -> None:
        """Replace these paths; a missing folder above one is restored with it."""
        begun: set[str] = set()
        touched = {""}  # the working folder has changed its time
        for path in sorted(set(paths)):
            names = path.split("/")
            above = ["/".join(names[:depth]) for depth in range(1, len(names))]
            if begun.intersection((*above, path)):
                continue
            # Not through a symlink: its target does not belong to the service.
            top = next((part for part in above if not _is_folder(self._root, part)), path)
            begun.add(top)
            held = next((part for part in above if part in self._found.stays), None)
            if held is not None:
                self.left.append(Left(path, self._found.stays[held]))
                continue
            folder, _, name = top.rpartition("/")
            touched.add(folder)
            with _opened(self._root, folder) as here, _opened(self._tree, folder) as there:
                merge = self._replace(top, (_open(here), name), (_open(there), name))
            if merge:
                self.merge(top)
        for folder in sorted(touched):
            with _opened(self._root, folder) as here:
                self._keep(folder, _open(here), None, staged=True)

    def merge(self, top: str) -> None:
        """Plan a folder whose content is the restored one plus whatever must stay."""
        todo = [top]
        while todo:
            folder = todo.pop()
            with _opened(self._root, folder) as opened, _opened(self._tree, folder) as there:
                here = _open(opened)
                names = {*os.listdir(here), *(os.listdir(there) if there is not None else ())}
                for name in sorted(names):
                    path = f"{folder}/{name}" if folder else name
                    slot = None if there is None else (there, name)
                    if self._replace(path, (here, name), slot):
                        todo.append(path)
                self._keep(folder, here, there, staged=there is not None)

    def _replace(self, path: str, here: Place, slot: Place | None) -> bool:
        """Add the step for one path; return whether its content must be merged instead."""
        comes = slot is not None and exists(slot)
        why = self._found.stays.get(path)
        if why and not (comes and why is Why.SOCKET):
            self.kept.append(path)
            # The empty folder below a mount point is not worth reporting.
            if comes and slot and (why is Why.EXCLUDED or not _is_empty_folder(slot)):
                self.left.append(Left(path, why))
            return False
        if path in self._found.holding:
            if not comes or (slot and _is_folder(*slot)):
                return True
            # A file never replaces a folder in which something stays.
            self.kept.append(path)
            self.left.append(Left(path, self._why_held(path)))
            return False
        old = identify(*here)
        new = identify(*slot) if slot else None
        if old or new:
            before, after = _mode_and_time(here), _mode_and_time(slot) if slot else None
            self.steps.append(Step(path, old, new, before, after))
        return False

    def _keep(self, folder: str, here: int, there: int | None, *, staged: bool) -> None:
        identity = identify(here, ".")
        assert identity
        old = _read_attributes(here)
        new = old if there is None else _read_attributes(there)
        self.stays.append(Stay(folder, identity, old, new, staged))

    def _why_held(self, folder: str) -> Why:
        inside = folder + "/"
        return next(why for path, why in self._found.stays.items() if path.startswith(inside))


def _read_attributes(folder: int) -> Entry:
    """Return owner, mode, times and extended attributes of an open folder; raises OSError."""
    entry = read_entry("", os.fstat(folder))
    read_xattrs(entry, folder)
    return entry


@contextmanager
def _opened(root: int, folder: str) -> Iterator[int | None]:
    """Open a folder below another while the context lasts; None if it does not exist."""
    try:
        fd = open_below(root, folder)
    except OSError as error:
        if error.errno not in _NOT_A_FOLDER:
            raise
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _open(folder: int | None) -> int:
    """Open a folder that must exist; raises FileNotFoundError."""
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "a folder has gone during the restore")
    return folder


def _is_folder(root: int, path: str) -> bool:
    with _opened(root, path) as folder:
        return folder is not None


def _is_empty_folder(place: Place) -> bool:
    with _opened(*place) as folder:
        return folder is not None and not os.listdir(folder)


def _mode_and_time(place: Place) -> tuple[int, int] | None:
    """Return mode and mtime of a folder, None for anything else."""
    try:
        found = os.stat(place[1], dir_fd=place[0], follow_symlinks=False)
    except FileNotFoundError:
        return None
    return (stat.S_IMODE(found.st_mode), found.st_mtime_ns) if stat.S_ISDIR(found.st_mode) else None
