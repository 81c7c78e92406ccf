"""Dumps of the present databases before a restore in place, or its undo, replaces them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.databases.any import AnyDatabase  # noqa: TC001 (pydantic reads the annotations)
from stages.databases.base import Tools
from stages.errors import SourceError, TargetError
from stages.facts import CommandLog, Present, Secrets, StateFolder
from stages.in_place.dumps import dump_folder
from stages.in_place.loads import unloaded
from stages.in_place.record import Load
from stages.in_place.staging import Staging
from stages.in_place.undo import newest_undoable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from engine.run import Run
    from stages.databases.base import Database


class SetAside(Link):
    """Stage that dumps what will be replaced. Nothing is replaced unless every dump is whole.

    The dumps are written where the restored ones will be, so the exchange of files sets them aside
    and `--undo` brings them back.
    """

    kind: ClassVar[str] = "set_aside"
    needs: ClassVar[tuple[type, ...]] = (Secrets, CommandLog, StateFolder)
    uses: ClassVar[tuple[Any, ...]] = (Staging(),)
    provides: ClassVar[tuple[type, ...]] = (Present,)

    service: str
    databases: tuple[AnyDatabase, ...]

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then dump what is there; raises SourceError and TargetError."""
        yield from items
        tools = Tools(run.fact(Secrets).text, run.fact(CommandLog), run.check)
        state = run.fact(StateFolder).path
        coming = _staged(run.fact(Staging)) or _replaced(state, self.service)
        half = {one.label: one.load for one in unloaded(state, self.service)}
        loads = {}
        for database in self.databases:
            folder = dump_folder(state, self.service, database.label)
            if names := coming.get(folder):
                _drop_others(folder, names)
                try:
                    settings = _write_dumps(database, folder, names, tools)
                except SourceError as error:
                    # It may be half loaded, and what was there before was dumped by then.
                    if (load := half.get(database.label)) is None:
                        raise
                    run.warn(f"{error}; it was not loaded before, so its state now is not kept")
                    settings = load.settings
                params = database.model_dump(mode="json", exclude_defaults=True)
                loads[database.label] = Load(params, database.where, names, settings)
        run.provide(Present(loads))

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is dumped."""
        named = ", ".join(database.where for database in self.databases)
        return f"dump what there is now in {named}"


def _staged(staging: Staging) -> dict[str, tuple[str, ...]]:
    """Return folder -> dumps that a restore has written."""
    return {one.record.path: tuple(sorted(os.listdir(one.tree))) for one in staging.roots}


def _replaced(state: str, service: str) -> dict[str, tuple[str, ...]]:
    """Return folder -> dumps that the newest restore has replaced; raises TargetError."""
    records = newest_undoable(state, service) or ()
    return {one.path: tuple(step.path for step in one.steps if step.old) for one in records}


def _drop_others(folder: str, names: Collection[str]) -> None:
    """Delete dumps that an earlier restore has loaded: an undo would load them again."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in names and not entry.is_dir(follow_symlinks=False):
                _unlink(entry.path)


def _write_dumps(
    database: Database, folder: str, names: Collection[str], tools: Tools
) -> dict[str, str]:
    """Write these dumps; return what a load must know of the server while it runs."""
    database.require_ready()
    settings = database.settings(tools)
    there = database.files(tools)
    for file in names:
        write_dump(database, folder, file, tools, exists=file in there)
    return settings


def write_dump(database: Database, folder: str, file: str, tools: Tools, *, exists: bool) -> None:
    """Write a dump, and put it in its place once it is whole."""
    path = os.path.join(folder, file)
    new = f"{path}.new"
    try:
        if exists:
            # The folder has what an earlier archive had in it, which may be a symlink of this name.
            _unlink(new)
            with open(new, "xb") as made:
                made.writelines(database.dump(file, tools))
                made.flush()
                os.fsync(made.fileno())
            os.replace(new, path)
        else:
            _unlink(path)
    except OSError as error:
        raise TargetError(
            f"cannot write the dump of {database.where} to {path}: {error.strerror}",
            "nothing was changed; make room in the state folder",
        ) from error
    finally:
        with suppress(OSError):
            _unlink(new)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
