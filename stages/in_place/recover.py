"""Recovery of interrupted in-place restores: afterwards the old state is there, or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from stages.errors import TargetError
from stages.in_place.folder import open_folder, open_root
from stages.in_place.forget import discard
from stages.in_place.record import all_services, read_records
from stages.in_place.restore import roll_back
from stages.in_place.staging import unmake
from stages.in_place.undo import finish_undo

if TYPE_CHECKING:
    from stages.in_place.record import Record

MOVING = {"swapping": "restore in place", "undoing": "undo"}
"""Phases in which files are moved -> what is under way."""


class Recovered(msgspec.Struct, frozen=True):
    """Result of a recovery, one sentence per item."""

    done: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()
    """Not recovered. The service is blocked until it is."""
    pending: tuple[str, ...] = ()
    """Deletions that the next command tries again; they block nothing."""


def unfinished(state_dir: str) -> list[str]:
    """Return the services that have something to recover."""
    found = []
    for service in all_services(state_dir):
        try:
            phases = {record.phase for record in read_records(state_dir, service)}
        except TargetError:
            phases = {"swapping"}  # its recovery then reports why the record cannot be read
        if phases & {"making", "discarding", *MOVING}:
            found.append(service)
    return found


def must_move(state_dir: str, service: str) -> bool:
    """Return whether recovery must move files, so that the service has to be stopped.

    Raises TargetError.
    """
    return any(record.phase in MOVING for record in read_records(state_dir, service))


def recover(state_dir: str, service: str, now: float, path: str | None = None) -> Recovered:
    """Finish every interrupted restore, undo or deletion of a service.

    `now` is in seconds since 1970: what recovery sets aside is kept from now on. `path` is where
    the service's folder is now, if known. The caller holds the service's lock.
    Errors are in the result.
    """
    result = Recovered()
    try:
        records = read_records(state_dir, service)
    except TargetError as error:
        return Recovered(owed=(f"{error}; {error.hint}",))
    for record in reversed(records):
        try:
            result = _recover(state_dir, structs.replace(record, since=int(now)), path, result)
        except TargetError as error:
            result = structs.replace(result, owed=(*result.owed, f"{error}; {error.hint}"))
        except OSError as error:
            text = (
                f"an interrupted {MOVING.get(record.phase, 'restore')} of {record.path} cannot be"
                f" finished yet: {error.filename}: {error.strerror}"
            )
            result = structs.replace(result, owed=(*result.owed, text))
    return result


def _recover(state_dir: str, record: Record, path: str | None, result: Recovered) -> Recovered:
    if record.phase == "making":
        with suppress(OSError, TargetError):  # it is empty and does no harm until it can be deleted
            _remove_unused(state_dir, record, path)
        return result
    if record.phase == "discarding":
        try:
            failed = discard(state_dir, record, path)
        except TargetError as error:
            failed = [str(error)]
        return structs.replace(result, pending=(*result.pending, *failed))
    if record.phase not in MOVING:
        return result
    root = work = -1
    try:
        root = open_root(record, path)
        work = open_folder(root, record)
        if record.phase == "swapping":
            odd = roll_back(state_dir, record, root, work)
            said = f"a restore in place died: {record.path} is as it was before"
        else:
            odd = finish_undo(state_dir, record, root, work).odd
            said = f"an undo died and was finished: {record.path} is as it was before the restore"
    finally:
        for fd in (work, root):
            if fd >= 0:
                os.close(fd)
    if odd:
        said += f"; unknown files are kept in {record.folder}: " + ", ".join(map(repr, odd))
    return structs.replace(result, done=(*result.done, said))


def _remove_unused(state_dir: str, record: Record, path: str | None) -> None:
    """Remove the empty folder of a restore that died before it recorded its identity."""
    root = open_root(record, path)
    try:
        unmake(state_dir, record, root)
    finally:
        os.close(root)
