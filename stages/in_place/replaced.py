"""Replaced folders: what in-place restores set aside, and what undo took out."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import structs

from stages.errors import SourceError
from stages.in_place.folder import find_folder, open_folder, recorded_roots
from stages.in_place.record import read_records, write_record
from stages.source.exclude import Excludes
from stages.source.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stages.in_place.record import Record

BLOCK_BYTES = 512
"""Unit of st_blocks: stat(2)."""


class Replaced(msgspec.Struct, frozen=True):
    """Replaced folder: one forgets it, or a good backup does after some time."""

    service: str
    folder: str
    by: Literal["restore", "undo"]
    """`restore`: what was there before; `undo`: what an undo took out."""
    backup: str
    """Id of the backup that was restored."""
    since: int
    """Seconds since 1970."""
    bytes: int
    """Space on the disk."""


def is_set_aside(record: Record) -> bool:
    """Return whether the working folder of a record holds what is kept for some time."""
    return record.phase in ("swapped", "undone")


def replaced_folders(state_dir: str, path: str | None = None) -> list[Replaced]:
    """Return the replaced folders in the service's folder `path`, oldest first; None for all."""
    found = []
    for root, record in recorded_roots(state_dir, path):
        with suppress(OSError, SourceError):
            here = os.fstat(root)
            if not is_set_aside(record) or not (
                path is None or os.path.samestat(here, os.stat(path))
            ):
                continue
            if name := find_folder(root, record):
                at = os.path.join(path or record.path, name)
                by: Literal["restore", "undo"] = "restore" if record.phase == "swapped" else "undo"
                size = _disk_usage(root, record) if record.bytes is None else record.bytes
                one = Replaced(record.service, at, by, record.archive, record.since, size)
                found.append(one)
    return found


def replaced_by(state_dir: str, service: str, folders: Iterable[str]) -> list[Replaced]:
    """Return the replaced folders in the folders of a service, and where it was restored before."""
    there = [*folders, *(record.path for record in read_records(state_dir, service))]
    found = [one for path in there for one in replaced_folders(state_dir, path)]
    return list({os.path.realpath(one.folder): one for one in found}.values())


def measure(state_dir: str, service: str) -> None:
    """Record the size of each replaced folder that has not been measured yet.

    Nothing in one changes any more, so it is measured once. The caller holds the service's lock.
    """
    with suppress(OSError, SourceError):  # without it, the size is measured again
        missing = {
            record.number
            for record in read_records(state_dir, service)
            if is_set_aside(record) and record.bytes is None
        }
        for root, record in recorded_roots(state_dir) if missing else ():
            if record.service == service and record.number in missing:
                size = _disk_usage(root, record)
                write_record(state_dir, structs.replace(record, bytes=size))


def _disk_usage(root: int, record: Record) -> int:
    """Return the space that deleting a working folder frees, in bytes; raises OSError."""
    work = open_folder(root, record)
    try:
        return sum(_sizes(work))
    finally:
        os.close(work)


def _sizes(folder: int) -> Iterator[int]:
    linked = set()
    for found in Walk(folder, Excludes(()), (), lambda *_: None):
        if found.fd is None and found.stat.st_nlink > 1:
            if found.stat.st_ino in linked:
                continue
            linked.add(found.stat.st_ino)
        yield found.stat.st_blocks * BLOCK_BYTES
