"""Steps of an in-place restore: taken one after the other, or taken back.

Taking back reads from the disk which steps were taken, so it can be interrupted and repeated. An
undo uses it as well.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from stages import linux
from stages.errors import TargetError
from stages.in_place.age import is_older
from stages.in_place.exchange import exists, move, put, trade
from stages.in_place.identity import identify, is_same
from stages.in_place.sides import Sides
from stages.restore_target.attributes import set_attributes
from stages.restore_target.handles import OPEN_FOLDER
from vault.archive.format import untext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stages.in_place.exchange import Place
    from stages.in_place.identity import Identity, Kind
    from stages.in_place.record import Record, Stay, Step
    from vault.archive.format import Entry

    Sided = tuple[Record, int, int]
    """Record of a root with its open folder and its open working folder."""

OWN_XATTRS = ("user.", "system.posix_acl_", "trusted.")
"""Extended attributes that a folder keeps for itself; `security.` belongs to the system."""


def take(record: Record, root: int, work: int, check: Callable[[], None]) -> None:
    """Take every step, then set the folders' new attributes; raises OSError and TargetError.

    `check` is called before each step and may raise.
    """
    with Sides(record, root, work) as sides:
        for index, step in enumerate(record.steps):
            check()
            here, slot = sides.here(step.path), sides.slot(step.path)
            put(here, slot, step.old, step.new, sides.spare(index))
            _restore_folder(here, step.new, step.new_folder)
        for stay in sorted(record.stays, key=_depth, reverse=True):
            _dress(sides.folder(stay.path), stay.new)


def take_back(record: Record, root: int, work: int) -> tuple[str, ...]:
    """Put back every old file that the working folder holds, and take out what is there now.

    Return the paths for which the working folder holds neither the old nor the new file. Raises
    OSError and TargetError if something could not be put back; a repeated call continues.
    """
    odd = []
    with Sides(record, root, work) as sides:
        for index, step in reversed(list(enumerate(record.steps))):
            here, slot = sides.here(step.path), sides.slot(step.path)
            if not record.exchanges:
                _finish_renames(index, step, here, slot, sides)
            if not _take_back(step, here, slot, sides.spare(index)):
                odd.append(step.path)
        for stay in sorted(record.stays, key=_depth, reverse=True):
            _dress(sides.folder(stay.path), stay.old)
    return tuple(odd)


def take_all_back(sides: Sequence[Sided]) -> tuple[str, ...]:
    """Take back all roots of a restore, as `take_back` does, and write them to their disks.

    One that fails does not stop the others; then its error is raised.
    """
    odd: list[str] = []
    failed: list[Exception] = []
    for record, root, work in sides:
        try:
            odd += [in_archive(record, path) for path in take_back(record, root, work)]
            linux.syncfs(root)
        except (OSError, TargetError) as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return tuple(odd)


def in_archive(record: Record, path: str) -> str:
    """Return the path in the archive of a path below a root."""
    return f"{record.label}/{path}" if record.label else path


def is_untouched(record: Record, root: int, work: int) -> bool:
    """Return whether the working folder holds the restored tree, unmodified since the restore.

    Raises OSError.
    """
    with Sides(record, root, work) as sides:
        return all(
            identify(*sides.slot(step.path), _kind(step)) == step.new
            and not exists(sides.stray(index))
            and is_older(sides.slot(step.path), record.began)
            for index, step in enumerate(record.steps)
        )


def _take_back(step: Step, here: Place, slot: Place, spare: Place) -> bool:
    """Take one step back if it was taken; return False if the slot holds neither file."""
    held = identify(*slot, _kind(step))
    if step.old is None:
        if held is None and exists(here):
            move(here, slot)
        return held in (None, step.new)
    if held == step.old:
        if exists(here):
            trade(here, slot, spare)
        else:
            move(slot, here)
        _restore_folder(here, step.old, step.old_folder)
        return True
    if held not in (None, step.new) and step.new and is_same(*here, step.new):
        trade(here, slot, spare)  # killed before the exchange with a newer file was reversed
        return True
    if held == step.new and os.geteuid():  # killed before the move, while it was writable for it
        _restore_folder(here, step.old, step.old_folder)
    return held == step.new or identify(*here, _kind(step)) == step.old


def _finish_renames(index: int, step: Step, here: Place, slot: Place, sides: Sides) -> None:
    """Complete or revert the renames of a step on a filesystem that cannot exchange."""
    spare = sides.spare(index)
    # A rename without flags makes a hard link first: drop the second name.
    _drop_link(slot, here)
    _drop_link(spare, here)
    _drop_link(spare, slot)
    if not exists(spare):
        return
    if not exists(slot):
        move(spare, slot)
    elif not exists(here):
        move(spare, here)
    elif step.old and identify(*spare, step.old.kind) == step.old:
        move(slot, sides.stray(index))
        move(spare, slot)
    else:
        move(spare, sides.stray(index))


def _drop_link(second: Place, first: Place) -> None:
    try:
        states = [os.stat(name, dir_fd=fd, follow_symlinks=False) for fd, name in (second, first)]
    except FileNotFoundError:
        return
    if os.path.samestat(*states) and not stat.S_ISDIR(states[0].st_mode):
        os.unlink(second[1], dir_fd=second[0])


def _dress(folder: int, entry: Entry) -> None:
    """Set the attributes of an open folder that stays, as far as possible."""
    with suppress(OSError):
        kept = {*entry.xattrs, *(untext("", name) for name in entry.xattrs64)}
        for name in os.listxattr(folder):
            if name.startswith(OWN_XATTRS) and name not in kept:
                with suppress(OSError):
                    os.removexattr(folder, name)
    set_attributes(entry, ".", folder, folder)


def _restore_folder(here: Place, identity: Identity | None, was: tuple[int, int] | None) -> None:
    """Reset the mode and time of a folder to those before it was moved.

    XFS changes the time of a folder that gets another parent, and a process without root rights
    that is killed during a move leaves the folder writable.
    """
    if identity is None or was is None:
        return
    mode, time = was
    with suppress(OSError):
        fd = os.open(here[1], OPEN_FOLDER, dir_fd=here[0])
        try:
            found = os.fstat(fd)
            if not is_same(fd, ".", identity):
                return
            if os.geteuid() and stat.S_IMODE(found.st_mode) == mode | stat.S_IRWXU:
                os.fchmod(fd, mode)
            if found.st_mtime_ns != time:
                os.utime(fd, ns=(found.st_atime_ns, time))
        finally:
            os.close(fd)


def _kind(step: Step) -> Kind | None:
    """Return the kind of identity in the record, which may not be the best one available here."""
    known = step.old or step.new
    return known.kind if known else None


def _depth(stay: Stay) -> int:
    return stay.path.count("/") + bool(stay.path)
