"""Restore a backup: choose it, turn its pipeline around, run that."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.events import Warned
from engine.graph import Node
from engine.run import Cancelled, Run, Shared, execute
from packrat.errors import Interrupted
from packrat.program import log_file
from packrat.runs.lock import service_lock
from packrat.runs.repair import require_repaired, resolve
from packrat.runs.signals import breaking_off, interruptible
from packrat.text.report import count_text, missed_text
from specs.compile import compile_service
from stages.errors import SourceError, TargetError
from stages.in_place.kept import make_staging
from stages.in_place.swap import TREE
from stages.journal import Journal
from stages.masking import masked
from stages.replicas import Copies
from stages.select import Select
from stages.session import RestoreSession
from stages.source.exclude import STAGING
from stages.source.walk import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.events import Event, Listener
    from engine.graph import Graph
    from packrat.program import Program
    from packrat.restore.choose import Chosen
    from stages.source.attributes import Unset


@dataclass
class Restored:
    """What a restore did; its fields are the keys of `--json`."""

    service: str
    id: str
    source: str
    """The destination it came from; `from` in JSON."""
    target: str
    """The folder; in place, the service's own."""
    files: int = 0
    size: int = 0
    downloaded: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    partial: bool = False
    """Something is not as the backup has it; the warnings say what."""


def reversed_graph(
    program: Program, service: str, source: str, paths: Sequence[str], *, in_place: bool
) -> Graph:
    """Give the restore of a service: its pipeline in reverse, from one destination.

    Nothing stops, and no command runs, for what is only written to a folder.
    """
    # Compiled for this one alone: a service's backups may be where it no longer goes to.
    settings = program.config.services[service].model_copy(update={"destinations": (source,)})
    config = program.config.model_copy(update={"services": {service: settings}})
    graph = compile_service(config, service, alone=not in_place).graph()
    return graph.reverse(f"upload:{source}", Node("select", Select(paths=tuple(paths))))


def restore(
    program: Program,
    service: str,
    chosen: Chosen,
    paths: Sequence[str],
    target: str | None,
    listeners: Sequence[Listener] = (),
) -> tuple[Restored, RestoreSession]:
    """Run the reversed graph, to a folder or, when `target` is None, in place.

    The path "" is everything, as no paths are.
    Raises what ended it, and Locked while a backup of the service runs.
    """
    if "" in paths:
        paths = ()
    if target is not None:
        return _run(
            program, service, open_session(program, service, chosen, paths, target), listeners
        )
    state_dir = program.config.state_dir
    path = program.config.services[service].path
    with service_lock(state_dir, service, time.time()):
        said = require_repaired(state_dir, service)
        for text in said:
            for listener in listeners:
                listener(Warned("restore", text))
        staging = os.path.join(path, STAGING + chosen.archive.manifest.id[:8])
        os.makedirs(path, exist_ok=True)  # on a new machine there is nothing yet
        os.close(open_source(path))
        tree = os.path.join(staging, TREE)
        session = open_session(program, service, chosen, paths, tree, in_place=True)
        session.mtime = os.stat(path).st_mtime_ns
        make_staging(staging)
        try:
            session.marker.goes_on(tree)
        except TargetError:  # of a restore that died when all was written: begin anew
            shutil.rmtree(tree, ignore_errors=True)
        restored, session = _run(program, service, session, listeners)
        restored.target = path
        restored.warnings[:0] = said
        return restored, session


def _run(
    program: Program, service: str, session: RestoreSession, listeners: Sequence[Listener]
) -> tuple[Restored, RestoreSession]:
    begun = time.monotonic()
    source = session.destination.name
    graph = reversed_graph(program, service, source, session.paths, in_place=session.in_place)
    warnings: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(masked(event.text))

    run = Run(session, Shared([note, *listeners]))
    try:
        _execute(graph, run)
    except (Exception, KeyboardInterrupt) as error:
        if session.aside is None:
            raise
        raise _after_all_is_placed(service, error) from error
    for what, unset in session.unset.items():
        run.warn(unset_text(what, unset))
    if session.lost:
        run.warn(session.lost_text())
    partial = bool(warnings)
    if session.backup.manifest.missed:
        run.warn(missed_text(session.backup.manifest))
    for text in session.copies.notes.values():
        run.warn(text)
    return (
        Restored(
            service,
            session.backup.manifest.id[:8],
            source,
            session.target,
            session.files,
            session.size,
            session.downloaded,
            round(time.monotonic() - begun, 3),
            warnings,
            partial,
        ),
        session,
    )


def _execute(graph: Graph, run: Run[RestoreSession]) -> None:
    """Run the graph; raises what ended it, KeyboardInterrupt with the stage that was broken off."""
    with interruptible(run), breaking_off(run, [run.context.destination]):
        outcome = execute(graph, run)
    for stage, error in outcome.failed.items():
        if isinstance(error, Cancelled):  # nobody but the engine knows that one
            raise KeyboardInterrupt(stage)
        raise error


def _after_all_is_placed(service: str, error: BaseException) -> Exception:
    """Say what is true when a restore in place ends badly though the files are in place."""
    restored = f"the files are restored; packrat restore --undo {service} takes that back"
    if isinstance(error, KeyboardInterrupt):
        broken = "post_restore was broken off" if "post_restore" in error.args else "interrupted"
        return Interrupted(f"{service}: {broken}; {restored}")
    hint = getattr(error, "hint", "")
    return SourceError(str(error), f"{hint}; {restored}" if hint else restored)


def open_session(
    program: Program,
    service: str,
    chosen: Chosen,
    paths: Sequence[str],
    target: str,
    *,
    in_place: bool = False,
) -> RestoreSession:
    """Make what the stages of a restore share."""
    state_dir = program.config.state_dir
    return RestoreSession(
        journal=Journal(state_dir, service),
        secret=resolve,
        log=log_file(state_dir, service),
        service=service,
        keys=program.keys,
        destination=chosen.catalog.destination,
        copies=Copies(chosen.archive, [chosen.catalog, *chosen.others], program.keys),
        backup=chosen.archive,
        paths=tuple(paths),
        target=target,
        in_place=in_place,
    )


def unset_text(what: str, unset: Unset) -> str:
    """Say what could not be set, on how many files, and name the first of them."""
    names = ", ".join(unset.names) + ", …" * (unset.count > len(unset.names))
    if what == "device":
        return f"{count_text(unset.count, 'device')} could not be made: {names}"
    return f"{what} could not be set on {count_text(unset.count, 'file')}: {names}"
