"""Repair after a killed run: stopped containers, moved files, commands still to be run."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packrat.errors import Locked
from packrat.program import log_file
from packrat.runs.lock import service_lock
from specs.secret import Secret, SecretFault
from stages.errors import SourceError
from stages.facts import CommandLog
from stages.in_place.recover import must_move, open_moving, recover
from stages.in_place.recover import unfinished as unfinished_swaps
from stages.journal import Journal, Journaled, journals
from stages.masking import masked
from stages.service.container_lock import ContainerLocks
from vault.store.base import unfinished_archive

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Repaired:
    """Results of a repair: a sentence for each thing that a killed run left behind."""

    done: list[str] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)
    """Things that could not be repaired; the journal keeps them for the next command."""


def repair(state_dir: str, spools: Mapping[str, str] | None = None) -> list[str]:
    """Repair what killed runs of all services left behind; return a sentence for each thing.

    A run is dead if its lock is free; live runs are not touched. `spools` are the services' folders
    in the spool: unfinished files there would take space until the next run.
    """
    said = []
    littered = {name: folder for name, folder in (spools or {}).items() if unfinished(folder)}
    for service in dict.fromkeys([*journals(state_dir), *unfinished_swaps(state_dir), *littered]):
        try:
            with service_lock(state_dir, service, time.time()):
                repaired = put_back(state_dir, service)
                if clear(littered.get(service, "")):
                    repaired.done.append(
                        f"{service}: deleted the unfinished files of a killed run in the spool"
                    )
        except Locked:
            continue
        said += repaired.done + repaired.owed
    return said


def clear(spool: str) -> list[str]:
    """Delete the unfinished files of a killed run in a service's spool; return their names.

    The caller holds the service's lock.
    """
    names = unfinished(spool)
    for name in names:
        os.unlink(os.path.join(spool, name))
    return names


def unfinished(spool: str) -> list[str]:
    """Return the names of unfinished files in a service's spool, of a live or a killed run."""
    with suppress(OSError):
        return [name for name in os.listdir(spool) if unfinished_archive(name)]
    return []


def require_repaired(state_dir: str, service: str) -> list[str]:
    """Repair what a killed run of one service left behind; return a sentence for each thing.

    The caller holds the lock. Raises SourceError if something cannot be repaired: a backup would
    take half of the files for all of them, and later delete the other half.
    """
    repaired = put_back(state_dir, service)
    if repaired.owed:
        raise SourceError("; ".join(repaired.owed), "the service is blocked until this is repaired")
    return repaired.done


def put_back(state_dir: str, service: str) -> Repaired:
    """Repair what a killed run of one service left behind; the caller holds the lock.

    The notes of its journal are handled in reverse order; one that fails does not stop the others.
    """
    journal = Journal(state_dir, service)
    repaired = Repaired()
    try:
        notes = list(journal.recall().items())
    except SourceError as error:
        repaired.owed.append(masked(f"{service}: {error}; {error.hint}"))
        return repaired
    locks = ContainerLocks(state_dir, service)
    try:
        _recover_files(state_dir, service, notes, repaired, locks)
        log = CommandLog(log_file(state_dir, service), "repair after a killed run")
        _put_back_stages(journal, notes, repaired, locks, log)
    finally:
        locks.release()
    return repaired


def _put_back_stages(
    journal: Journal,
    notes: list[tuple[str, dict[str, Any]]],
    repaired: Repaired,
    locks: ContainerLocks,
    log: CommandLog,
) -> None:
    """Let every stage put back what it held, the last one first."""
    service = journal.service
    for stage, note in reversed(notes):
        try:
            holder = _holder(note)
            said = holder.put_back(note["found"], resolve, locks, log)
            repaired.done.append(masked(f"{service}: {said}"))
            if not (holder.guards and repaired.owed):
                journal.done(stage)
        except SourceError as error:
            repaired.owed.append(masked(f"{service}: a run was killed, and {error}; {error.hint}"))
        except SecretFault as error:
            repaired.owed.append(f"{service}: a run was killed, and {error}")
        except Exception as error:  # noqa: BLE001 (a note of another version may contain anything)
            what = (
                f"{service}: a run was killed, and what its {stage} left cannot be undone:"
                f" {type(error).__name__}: {error}; the version of packrat that wrote"
                f" {journal.file} can undo it; or do it yourself and delete that file"
            )
            repaired.owed.append(masked(what))


def _recover_files(
    state_dir: str,
    service: str,
    notes: list[tuple[str, dict[str, Any]]],
    repaired: Repaired,
    locks: ContainerLocks,
) -> None:
    """Finish an in-place restore or its undo, with the service's containers stopped."""
    with ExitStack() as opened:
        try:
            places = open_moving(state_dir, service, opened)
            if must_move(state_dir, service):
                for _, note in notes:
                    with suppress(KeyError, ValueError):  # another version's: `put_back` reports it
                        _holder(note).stand_still(note["found"], locks)
        except SourceError as error:
            repaired.owed.append(masked(f"{service}: a run was killed, and {error}; {error.hint}"))
            return
        recovered = recover(state_dir, service, time.time(), places)
    repaired.done += [masked(f"{service}: {said}") for said in recovered.done]
    repaired.done += [
        masked(f"{service}: could not delete {what}; the next command tries again")
        for what in recovered.pending
    ]
    repaired.owed += [masked(f"{service}: {said}") for said in recovered.owed]


def _holder(note: dict[str, Any]) -> Journaled:
    from stages.foreign import UnusableKind
    from stages.kinds import kinds_for

    name = note["kind"]
    try:
        kinds = {kind.kind: kind for kind in kinds_for([name]) if issubclass(kind, Journaled)}
    except UnusableKind as error:
        raise SourceError(str(error), error.hint) from error
    if name not in kinds:
        raise SourceError(
            f"a stage of kind {name!r} held something, and no installed package has that kind",
            "install the package again; it can put back what its stage left",
        )
    return kinds[name].model_validate(note["params"])


def resolve(reference: Any) -> str:
    """Return the text of a referenced secret; raises SecretFault."""
    return Secret.parse(reference).resolve()
