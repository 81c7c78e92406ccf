"""Repair after a killed run: stopped containers, moved files, commands still to be run."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from packrat.errors import Locked, explain
from packrat.program import log_file
from packrat.runs.lock import service_lock
from specs.secret import Secret, SecretFault
from stages.databases.base import Tools
from stages.errors import NotReady, SourceError
from stages.facts import CommandLog
from stages.in_place.loads import load_databases, require_ready, unloaded, unloaded_text
from stages.in_place.recover import must_stand_still, open_moving, recover
from stages.in_place.recover import unfinished as unfinished_swaps
from stages.journal import Journal, Journaled, journals
from stages.masking import masked
from stages.service.container_lock import ContainerLocks
from vault.store.base import unfinished_archive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stages.in_place.record import Phase


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
        said += [*repaired.done, *repaired.owed, *(text for _, text in repaired.unloaded)]
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


def require_repaired(
    state_dir: str, service: str, unloaded_after: Collection[Phase] = ()
) -> list[str]:
    """Repair what a killed run of one service left behind; return a sentence for each thing.

    The caller holds the lock. Raises SourceError if something cannot be repaired: a backup would
    take half of the files for all of them, and later delete the other half. Databases that could
    not be loaded do no harm after a restore or an undo in the phases `unloaded_after`.
    """
    repaired = put_back(state_dir, service)
    unloaded = [text for phase, text in repaired.unloaded if phase not in unloaded_after]
    if owed := [*repaired.owed, *unloaded]:
        raise SourceError("; ".join(owed), "the service is blocked until this is repaired")
    return repaired.done


def put_back(state_dir: str, service: str) -> Repair:
    """Repair what a killed run of one service left behind; the caller holds the lock."""
    done = Repair(state_dir, service)
    done.run()
    return done


class Repair:
    """Repair of what a killed run of one service left behind."""

    def __init__(self, state_dir: str, service: str) -> None:
        self.done: list[str] = []
        """A sentence for each thing that was repaired."""
        self.owed: list[str] = []
        """Things that could not be repaired; the journal keeps them for the next command."""
        self.unloaded: list[tuple[Phase, str]] = []
        """Databases that a restore in place, or its undo, has not loaded: phase and sentence."""
        self._later = False
        """Some of them are loaded by the next command, for which the containers stop again."""
        self._state_dir, self._service = state_dir, service
        self._journal = Journal(state_dir, service)
        self._locks = ContainerLocks(state_dir, service)
        self._log = CommandLog(log_file(state_dir, service), "repair after a killed run")

    def run(self) -> None:
        """Handle the notes of the journal, the last one first; one may fail without the others."""
        try:
            notes = list(self._journal.recall().items())
        except SourceError as error:
            self.owed.append(f"{self._service}: {explain(error)[1]}")
            return
        try:
            unready = self._unready()
            if self._recover_files([note for _, note in notes], ready=unready is None):
                self._load_databases(unready)
            for stage, note in reversed(notes):
                self._put_back(stage, note)
        finally:
            self._locks.release()

    def _put_back(self, stage: str, note: dict[str, Any]) -> None:
        """Let a stage put back what it held."""
        try:
            holder = _holder(note)
            said = holder.put_back(note["found"], resolve, self._locks, self._log)
            self.done += self._texts([said])
            if not (holder.guards and (self.owed or self._later)):
                self._journal.done(stage)
        except (SourceError, SecretFault) as error:
            self._owe(error)
        except Exception as error:  # noqa: BLE001 (a note of another version may contain anything)
            what = (
                f"a run was killed, and what its {stage} left cannot be undone:"
                f" {type(error).__name__}: {error}; the version of packrat that wrote"
                f" {self._journal.file} can undo it; or do it yourself and delete that file"
            )
            self.owed += self._texts([what])

    def _unready(self) -> SourceError | None:
        """Return why databases cannot be loaded now; None if they can, or none has to be."""
        try:
            require_ready(self._state_dir, self._service)
        except SourceError as error:
            return error
        return None

    def _recover_files(self, notes: list[dict[str, Any]], *, ready: bool) -> bool:
        """Finish an in-place restore or its undo, with the service's containers stopped.

        Return False if they could not be stopped.
        """
        with ExitStack() as opened:
            try:
                places = open_moving(self._state_dir, self._service, opened)
                if must_stand_still(self._state_dir, self._service, ready=ready):
                    for note in notes:
                        with suppress(KeyError, ValueError):  # another version's; reported later
                            _holder(note).stand_still(note["found"], self._locks)
            except SourceError as error:
                self._owe(error)
                return False
            found = recover(self._state_dir, self._service, time.time(), places)
        again = (f"could not delete {what}; the next command tries again" for what in found.pending)
        self.done += self._texts([*found.done, *again])
        self.owed += self._texts(found.owed)
        return True

    def _load_databases(self, why: Exception | None) -> None:
        """Load what a killed restore or undo has not loaded, before the containers start.

        `why` says that this is not possible now.
        """
        tools = Tools(resolve, self._log, lambda: None)
        try:
            before = unloaded(self._state_dir, self._service)
            for _ in () if why else before:
                try:
                    load_databases(self._state_dir, self._service, tools)
                except NotReady as error:
                    why = error
                    break
                except Exception as error:  # noqa: BLE001 (recorded if possible, reported below)
                    why = error
            left = unloaded(self._state_dir, self._service)
        except SourceError:  # the records cannot be read, which `recover` has reported
            return
        unfinished = {one.label: one for one in left}  # of several restores, the newest
        loaded = [one.load.where for one in before if one.load and one.label not in unfinished]
        self.done += self._texts(
            f"a run was killed before {where} was loaded: loaded it"
            for where in dict.fromkeys(loaded)
        )
        for record in unfinished.values():
            text, hint = unloaded_text(record)
            if record.load and not record.load.problem:
                self._later = True
                text = f"a run was killed before {record.load.where} was loaded: {why}"
                hint = f"{getattr(why, 'hint', '')}; then the next command loads it".lstrip("; ")
            self.unloaded += [(record.phase, one) for one in self._texts([f"{text}; {hint}"])]

    def _owe(self, error: Exception) -> None:
        self.owed.append(f"{self._service}: a run was killed, and {explain(error)[1]}")

    def _texts(self, sentences: Iterable[str]) -> list[str]:
        return [masked(f"{self._service}: {sentence}") for sentence in sentences]


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
