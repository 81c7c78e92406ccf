"""Put back what a dead run left: containers that it stopped, files, commands that it owes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packrat.errors import Locked
from packrat.runs.lock import service_lock
from specs.secret import Secret, SecretFault
from stages.errors import SourceError
from stages.in_place.recover import must_move, recover
from stages.in_place.recover import unfinished as unfinished_swaps
from stages.journal import Journal, Journaled, journals
from stages.masking import masked
from stages.service.container_lock import ContainerLocks
from vault.store.base import unfinished_archive

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Repaired:
    """What became of the things that a dead run left: a sentence for each."""

    done: list[str] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)
    """These could not be put back; the journal keeps them for the next command."""


def repair(state_dir: str, spools: Mapping[str, str] | None = None) -> list[str]:
    """Put back what dead runs of all services left; gives a sentence for each thing.

    A run is dead when its lock can be taken; those that are alive are left alone. `spools` are the
    services' folders in the spool: what stands there unfinished would take room until the next run.
    """
    said = []
    littered = {name: folder for name, folder in (spools or {}).items() if unfinished(folder)}
    for service in dict.fromkeys([*journals(state_dir), *unfinished_swaps(state_dir), *littered]):
        try:
            with service_lock(state_dir, service, time.time()):
                repaired = put_back(state_dir, service)
                if clear(littered.get(service, "")):
                    repaired.done.append(
                        f"{service}: a run died, and what it left in the spool is deleted"
                    )
        except Locked:
            continue
        said += repaired.done + repaired.owed
    return said


def clear(spool: str) -> list[str]:
    """Delete what a dead run left half-written in a service's spool; gives the names.

    The service's lock is ours.
    """
    names = unfinished(spool)
    for name in names:
        os.unlink(os.path.join(spool, name))
    return names


def unfinished(spool: str) -> list[str]:
    """Give the names of what is half-written in a service's spool, by a live run or a dead one."""
    with suppress(OSError):
        return [name for name in os.listdir(spool) if unfinished_archive(name)]
    return []


def require_repaired(state_dir: str, service: str) -> list[str]:
    """Put back what a dead run of one service left, whose lock we hold; gives what to tell.

    Raises SourceError while something is not back: a backup would take the half for the whole, and
    then delete the other half.
    """
    repaired = put_back(state_dir, service)
    if repaired.owed:
        raise SourceError(
            "; ".join(repaired.owed), "until that is put back nothing else is done with the service"
        )
    return repaired.done


def put_back(state_dir: str, service: str) -> Repaired:
    """Put back what a dead run of one service left, whose lock we hold.

    The last thing that was held is let go first. One that cannot be keeps no other from it.
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
        _put_back_stages(journal, notes, repaired, locks)
    finally:
        locks.release()
    return repaired


def _put_back_stages(
    journal: Journal,
    notes: list[tuple[str, dict[str, Any]]],
    repaired: Repaired,
    locks: ContainerLocks,
) -> None:
    """Let every stage put back what it held, the last one first."""
    service = journal.service
    for stage, note in reversed(notes):
        try:
            holder = _holder(note)
            said = holder.put_back(note["found"], resolve, locks)
            repaired.done.append(masked(f"{service}: {said}"))
            if not (holder.guards and repaired.owed):
                journal.done(stage)
        except SourceError as error:
            repaired.owed.append(masked(f"{service}: a run died, and {error}; {error.hint}"))
        except SecretFault as error:
            repaired.owed.append(f"{service}: a run died, and {error}")
        except Exception as error:  # noqa: BLE001 (a note of another version may hold anything)
            what = (
                f"{service}: a run died, and what its {stage} left cannot be put back:"
                f" {type(error).__name__}: {error}; the version of packrat that wrote"
                f" {journal.file} can, or put it right by hand and delete that file"
            )
            repaired.owed.append(masked(what))


def _recover_files(
    state_dir: str,
    service: str,
    notes: list[tuple[str, dict[str, Any]]],
    repaired: Repaired,
    locks: ContainerLocks,
) -> None:
    """Bring an in-place restore or its undo to an end, with the service's containers down."""
    try:
        if must_move(state_dir, service):
            for _, note in notes:
                with suppress(KeyError, ValueError):  # of another version: it is reported below
                    _holder(note).stand_still(note["found"], locks)
    except SourceError as error:
        repaired.owed.append(masked(f"{service}: a run died, and {error}; {error.hint}"))
        return
    recovered = recover(state_dir, service)
    repaired.done += [masked(f"{service}: {said}") for said in recovered.done]
    repaired.done += [
        masked(f"{service}: could not delete {what}; the next command tries it again")
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
    """Turn the reference to a secret into its text; raises SecretFault."""
    return Secret.parse(reference).resolve()
