"""Recovery of interrupted in-place restores: afterwards the old state is there, or the new one."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from stages.errors import TargetError
from stages.in_place.folder import open_root, open_sides
from stages.in_place.forget import discard
from stages.in_place.loads import unloaded
from stages.in_place.record import all_services, paths_text, read_records, restores
from stages.in_place.restore import roll_back
from stages.in_place.staging import unmake
from stages.in_place.undo import finish_undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.in_place.folder import Places
    from stages.in_place.record import Record

NOWHERE: Places = MappingProxyType({})
"""No known folders of the roots: those of the records count."""
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
            if phases & {"making", "discarding", *MOVING} or unloaded(state_dir, service):
                found.append(service)
        except TargetError:
            found.append(service)  # its recovery then reports why the record cannot be read
    return found


def open_moving(state_dir: str, service: str, opened: ExitStack) -> dict[str, int]:
    """Return the open folder of each root in which recovery must move files, by its label.

    Of a volume that Docker unmounts, this must come before its containers stop. What cannot be
    opened is left out. Raises TargetError.
    """
    found = {}
    for record in read_records(state_dir, service):
        if record.phase in MOVING:
            with suppress(OSError, TargetError):
                found[record.label] = open_root(record)
                opened.callback(os.close, found[record.label])
    return found


def must_stand_still(state_dir: str, service: str, *, ready: bool) -> bool:
    """Return whether the service must be stopped: files must move, or databases be loaded.

    With `ready`, the servers of the databases can be used. Raises TargetError.
    """
    moving = any(record.phase in MOVING for record in read_records(state_dir, service))
    loads = [record.load for record in unloaded(state_dir, service)]
    return moving or (ready and any(load and not load.problem for load in loads))


def recover(state_dir: str, service: str, now: float, places: Places = NOWHERE) -> Recovered:
    """Finish every interrupted restore, undo or deletion of a service.

    `now` is in seconds since 1970: what recovery sets aside is kept from now on. `places` has the
    folders of the roots now, by label, if known. The caller holds the service's lock. Errors are
    in the result.
    """
    result = Recovered()
    try:
        records = read_records(state_dir, service)
    except TargetError as error:
        return Recovered(owed=(f"{error}; {error.hint}",))
    for group in reversed(restores(records)):
        try:
            dated = [structs.replace(record, since=int(now)) for record in group]
            result = _recover(state_dir, dated, places, result)
        except TargetError as error:
            result = structs.replace(result, owed=(*result.owed, f"{error}; {error.hint}"))
        except OSError as error:
            text = (
                f"an interrupted {MOVING.get(group[0].phase, 'restore')} of {paths_text(group)}"
                f" cannot be finished yet: {error.filename}: {error.strerror}"
            )
            result = structs.replace(result, owed=(*result.owed, text))
    return result


def _recover(
    state_dir: str, group: Sequence[Record], places: Places, result: Recovered
) -> Recovered:
    """Recover one restore, whose roots are all in the same phase."""
    phase, where = group[0].phase, paths_text(group)
    for record in group:
        if phase == "making":
            with suppress(OSError, TargetError):  # it is empty and does no harm meanwhile
                _remove_unused(state_dir, record, places.get(record.label))
        elif phase == "discarding":
            try:
                failed = discard(state_dir, record, places.get(record.label))
            except TargetError as error:
                failed = [str(error)]
            result = structs.replace(result, pending=(*result.pending, *failed))
    if phase not in MOVING:
        return result
    with ExitStack() as opened:
        sides = open_sides(group, places, opened)
        if phase == "swapping":
            odd = roll_back(state_dir, sides)
            said = f"a restore in place died: {where} is as it was before"
        else:
            odd = finish_undo(state_dir, sides).odd
            said = f"an undo died and was finished: {where} is as it was before the restore"
    if odd:
        said += f"; unknown files are kept in {group[0].folder}: " + ", ".join(map(repr, odd))
    return structs.replace(result, done=(*result.done, said))


def _remove_unused(state_dir: str, record: Record, place: str | int | None) -> None:
    """Remove the empty folder of a restore that died before it recorded its identity."""
    root = open_root(record, place)
    try:
        unmake(state_dir, record, root)
    finally:
        os.close(root)
