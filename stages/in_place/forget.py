"""Deletion of what in-place restores replaced, and of trees that were never put in place.

The record says *discarding* before the first file is deleted, so a half-deleted folder can be
neither undone nor backed up.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from stages import linux
from stages.empty_folder import empty_folder
from stages.errors import TargetError
from stages.in_place.dumps import drop_dumps
from stages.in_place.folder import find_folder, open_folder, open_root
from stages.in_place.record import read_records, remove_record, restores, write_records
from stages.in_place.replaced import is_set_aside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stages.in_place.record import Record
    from stages.in_place.staging import Staging

UNFINISHED = ("swapping", "undoing")
ATTEMPTS = 3


class Forgotten(msgspec.Struct, frozen=True):
    """Result of a deletion."""

    folders: int
    """Folders that were deleted."""
    failed: tuple[str, ...] = ()
    """Files that could not be deleted, with the reason; the next command tries again."""


def forget(
    state_dir: str,
    service: str,
    places: Mapping[str, str],
    set_aside_until: float = math.inf,
) -> Forgotten:
    """Delete the working folders of a service's restores; raises TargetError.

    `places` has the folders of the service's roots now, by label. What was set aside after
    `set_aside_until`, in seconds since 1970, stays. Nothing is deleted while a restore or an undo
    is unfinished: its folder may hold the only copy of the data. Call `recover` first.
    """
    records = read_records(state_dir, service)
    if any(record.phase in UNFINISHED for record in records):
        where = ", ".join(places.values()) or service
        raise TargetError(
            f"a restore or an undo of {where} is not finished, so nothing is deleted",
            "the next command finishes it",
        )
    gone, failed = 0, []
    expired = [
        structs.replace(record, phase="discarding", steps=(), stays=(), kept=())
        for record in records
        if record.phase != "making"
        and not (is_set_aside(record) and record.since > set_aside_until)
    ]
    for group in restores(expired):  # mark all before the first file is deleted, the oldest first
        write_records(state_dir, group)
    for record in expired:
        try:
            said = discard(state_dir, record, places.get(record.label))
        except TargetError as error:
            said = [str(error)]
        gone += not said
        failed += said
    if not read_records(state_dir, service):
        drop_dumps(state_dir, service)
    return Forgotten(gone, tuple(failed))


def drop_unused(state_dir: str, staging: Staging) -> None:
    """Delete the working folder of a restore that ended before it wrote anything.

    If that fails, the next command tries again.
    """
    if any(os.listdir(one.tree) or one.record.phase != "staging" for one in staging.roots):
        return
    with suppress(TargetError):
        records = [structs.replace(record, phase="discarding") for record in staging.records]
        write_records(state_dir, records)
        for record in records:
            discard(state_dir, record)


def discard(state_dir: str, record: Record, place: str | int | None = None) -> list[str]:
    """Delete the working folder of a record that is marked *discarding*, then the record.

    Return what could not be deleted. Raises TargetError.
    """
    try:
        root = open_root(record, place)
    except OSError as error:
        return [f"{record.path}: {error.strerror}"]
    try:
        failed = _delete_folder(root, record)
        if failed:
            return failed
        linux.syncfs(root)  # otherwise a power cut could bring back a folder without a record
    except OSError as error:
        return [f"{record.folder}: {error.strerror}"]
    finally:
        os.close(root)
    remove_record(state_dir, record)
    return []


def _delete_folder(root: int, record: Record) -> list[str]:
    for _ in range(ATTEMPTS):
        name = find_folder(root, record)
        if name is None:
            return []
        work = open_folder(root, record)
        try:
            if failed := empty_folder(work):
                return [f"{name}/{path}" for path in failed]
        finally:
            os.close(work)
        with suppress(FileNotFoundError):  # renamed meanwhile: look again
            os.rmdir(name, dir_fd=root)
    name = find_folder(root, record)
    return [f"{name}: another program moves it"] if name else []
