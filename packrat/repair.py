"""Put back what a dead run left: containers that it stopped, commands that it owes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packrat.exits import Locked
from packrat.lock import service_lock
from specs.secret import Secret
from stages.errors import SourceError
from stages.journal import Journal, Journaled, journals
from stages.masking import masked
from vault.destination import unfinished_archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.stage import Stage


def repair(state_dir: str, spools: Mapping[str, str] | None = None) -> list[str]:
    """Put back what dead runs of all services left; gives a sentence for each thing.

    A run is dead when its lock can be taken; those that are alive are left alone. `spools` are the
    services' folders in the spool: what stands there unfinished would take room until the next run.
    """
    said = []
    littered = {name: folder for name, folder in (spools or {}).items() if unfinished(folder)}
    for service in dict.fromkeys([*journals(state_dir), *littered]):
        try:
            with service_lock(state_dir, service, time.time()):
                said += put_back(state_dir, service)
                if clear(littered.get(service, "")):
                    said.append(f"{service}: a run died, and what it left in the spool is deleted")
        except Locked:
            continue
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


def put_back(state_dir: str, service: str) -> list[str]:
    """Put back what a dead run of one service left, whose lock we hold; gives what to tell.

    The last thing that was held is let go first. What cannot be put back now stays in the journal,
    for the next command.
    """
    from stages.kinds import KINDS

    journal = Journal(state_dir, service)
    every: tuple[type[Stage], ...] = KINDS
    kinds = {kind.kind: kind for kind in every if issubclass(kind, Journaled)}
    said = []
    for stage, note in reversed(journal.recall().items()):
        scope = kinds[note["kind"]].model_validate(note["params"])
        try:
            said.append(f"{service}: {scope.put_back(note['found'], resolve)}")
        except SourceError as error:
            said.append(masked(f"{service}: a run died, and {error}; {error.hint}"))
        else:
            journal.done(stage)
    return said


def resolve(reference: Any) -> str:
    """Turn the reference to a secret into its text; raises SecretFault."""
    return Secret.parse(reference).resolve()
