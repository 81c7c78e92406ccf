"""Record of an in-place restore in the state folder: the only source of what was moved.

One file per restore, `<state_dir>/in-place/<service>/<number>.json`: a record, or a list with one
for each root of the service. So the phase of all roots changes at once. The file is written
atomically and synced before each change:

    making      the working folder may exist, and is empty
    staging     the restored tree is being written into the working folder
    swapping    steps are being taken; recovery takes them back
    swapped     all steps were taken; what was there before is in the working folder
    undoing     steps are being taken back; recovery goes on with it
    undone      all steps were taken back; what undo took out is in the working folder
    discarding  the working folder is being deleted; recovery goes on with it

Nothing that a service's user can write is ever parsed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from stages.errors import TargetError
from stages.in_place.identity import Identity  # noqa: TC001 (msgspec reads the annotations)
from stages.state_file import replace_file
from vault.archive.format import Entry  # noqa: TC001
from vault.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER = "in-place"

Phase = Literal["making", "staging", "swapping", "swapped", "undoing", "undone", "discarding"]


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """Path whose content is exchanged between the service's folder and the working folder."""

    path: str
    """Relative to the service's folder."""
    old: Identity | None = None
    """File that was there; None if there was none."""
    new: Identity | None = None
    """File that replaces it; None if none does."""
    old_folder: tuple[int, int] | None = None
    """Mode and mtime, in nanoseconds, of an old folder. A move may change both."""
    new_folder: tuple[int, int] | None = None


class Stay(msgspec.Struct, frozen=True, omit_defaults=True):
    """Folder that stays where it is; its entries are exchanged one by one."""

    path: str
    identity: Identity
    old: Entry
    """Its attributes before the restore."""
    new: Entry
    staged: bool = True
    """The restored tree has this folder, so its entries are exchanged with those there."""


class Load(msgspec.Struct, frozen=True, omit_defaults=True):
    """Dumps that must be loaded after the exchange of a folder that stands for a database."""

    database: dict[str, Any]
    """Parameters of the database, as in a pipeline document."""
    where: str
    """Description of the server or file, for messages."""
    files: tuple[str, ...]
    """Names of the dumps in the folder."""
    settings: dict[str, str] = {}
    """Settings of the running server that the load needs."""
    problem: str = ""
    """Reason why the load failed; empty if it has not begun, or was killed."""


NO_LOADS: Mapping[str, Load] = MappingProxyType({})


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is known of one in-place restore, in one root."""

    number: int
    """Position among the restores of the service; the newest has the highest."""
    service: str
    path: str
    """The service's folder at that time."""
    root: Identity
    """Identity of that folder."""
    archive: str
    """Id of the restored archive."""
    paths: tuple[str, ...]
    """Restored paths, below the root; empty for everything."""
    folder: str
    """Name of the working folder, in the service's folder."""
    phase: Phase
    label: str = ""
    """Label of the root; the records of one restore differ in it."""
    exchanges: bool = True
    """The filesystem can exchange two names atomically."""
    identity: Identity | None = None
    """Identity of the working folder; None while it is being made."""
    mtime: int = 0
    """Mtime of the service's folder before the working folder was made, in nanoseconds."""
    touched: int = 0
    """Mtime of the service's folder after the working folder was made, in nanoseconds."""
    steps: tuple[Step, ...] = ()
    stays: tuple[Stay, ...] = ()
    began: int = 0
    """Start of the swap, by the clock of the filesystem, in nanoseconds since 1970."""
    unreported: bool = False
    """The undo is finished, but its end was not reported; the next undo only reports it."""
    kept: tuple[str, ...] = ()
    """Paths in those folders that were left alone."""
    since: int = 0
    """Time at which the working folder got what it holds, in seconds since 1970."""
    bytes: int | None = None
    """Space that this takes; None until it is measured."""
    load: Load | None = None
    """Dumps that are not loaded yet, once the phase is *swapped* or *undone*."""


def read_records(state_dir: str, service: str) -> list[Record]:
    """Return the records of a service, oldest first; raises TargetError if one is unreadable."""
    folder = os.path.join(state_dir, FOLDER, service)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TargetError(
            f"cannot read {folder}: {error.strerror}", "check its owner and mode"
        ) from (None)
    return [record for name in names for record in _read(os.path.join(folder, name))]


def restores(records: Iterable[Record]) -> list[tuple[Record, ...]]:
    """Return records by restore, one for each of its roots."""
    return [tuple(group) for _, group in groupby(records, key=lambda record: record.number)]


def all_services(state_dir: str) -> list[str]:
    """Return the services that have records."""
    try:
        return sorted(os.listdir(os.path.join(state_dir, FOLDER)))
    except OSError:
        return []


def write_record(state_dir: str, record: Record) -> None:
    """Write a record, beside those of other roots of the restore; raises TargetError."""
    others = [one for one in _beside(state_dir, record) if one.label != record.label]
    write_records(state_dir, sorted([*others, record], key=lambda one: one.label))


def write_records(state_dir: str, records: Sequence[Record]) -> None:
    """Write all records of one restore atomically, and sync them; raises TargetError."""
    path = _path(state_dir, records[0])
    content = records if len(records) > 1 else records[0]
    try:
        # Not with msgspec: the json module escapes names that are not UTF-8.
        replace_file(path, json.dumps(msgspec.to_builtins(content)).encode("ascii"))
    except OSError as error:
        raise TargetError(
            f"cannot write the record of the restore, {path}: {error.strerror}",
            "nothing is moved without it; make room, or correct state_dir",
        ) from error


def write_result(state_dir: str, records: Sequence[Record]) -> None:
    """Write the records of a restore that was taken back; raises TargetError."""
    try:
        write_records(state_dir, records)
    except TargetError as error:
        raise TargetError(
            f"{paths_text(records)} is as it was before the restore, but packrat {error}",
            "the next command tries it again; make room, or correct state_dir",
        ) from error


def remove_record(state_dir: str, record: Record) -> None:
    """Delete a record whose working folder is gone; raises TargetError."""
    if others := [one for one in _beside(state_dir, record) if one.label != record.label]:
        write_records(state_dir, others)
        return
    path = _path(state_dir, record)
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise TargetError(f"cannot delete {path}: {error.strerror}", "delete it") from error


def paths_text(records: Iterable[Record]) -> str:
    """Return the folders of the roots, for people."""
    return ", ".join(record.path for record in records)


def _beside(state_dir: str, record: Record) -> list[Record]:
    """Return the records of a restore, of all its roots."""
    path = _path(state_dir, record)
    return _read(path) if os.path.exists(path) else []


def _path(state_dir: str, record: Record) -> str:
    return os.path.join(state_dir, FOLDER, record.service, f"{record.number:08d}.json")


def _read(path: str) -> list[Record]:
    try:
        with open(path, encoding="ascii") as file:
            content = json.load(file)
        return msgspec.convert(content if isinstance(content, list) else [content], list[Record])
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise TargetError(
            f"the record of an in-place restore, {path}, cannot be read: {error}",
            "what the restore replaced is in the .packrat-restore- folder inside the service's"
            " folder; put it back by hand, then delete the record",
        ) from None
