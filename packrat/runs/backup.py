"""Back up a service: run its pipeline forward, under its lock."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.events import Warned
from engine.run import Cancelled, Clock, Run, Shared, execute
from packrat.errors import Exit
from packrat.program import log_file, open_cache, open_destinations
from packrat.runs.lock import service_lock
from packrat.runs.recorder import Recorder
from packrat.runs.repair import clear, require_repaired, resolve
from packrat.runs.result import Result, sum_up
from packrat.runs.signals import breaking_off, interruptible
from stages.in_place.kept import forget
from stages.journal import Journal
from stages.masking import masked
from stages.session import BackupSession
from vault.archive.keys import read_key_file
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.events import Event, Listener
    from engine.graph import Graph
    from specs.pipeline import Pipeline


class Choices(Struct, frozen=True):
    """What the user accepts, this once."""

    take_over: bool = False
    """Go on where another host left off."""
    accept_shrink: bool = False
    """Take a source that has lost more than half of its files or bytes for a normal one."""


def back_up(
    pipeline: Pipeline,
    listeners: Sequence[Listener] = (),
    choices: Choices | None = None,
    clock: Clock | None = None,
) -> Result:
    """Run one service's pipeline forward; every fault ends in the result."""
    result = Result(pipeline.service)
    clock = clock or Clock()
    begun = clock.ticks()
    recorder = Recorder(pipeline.state_dir, pipeline.service, clock)
    try:
        graph = pipeline.graph()
        with service_lock(pipeline.state_dir, pipeline.service, clock.now() / 1e9):
            recorder.begin()
            result.warnings += require_repaired(pipeline.state_dir, pipeline.service)
            session = _open_session(pipeline, choices or Choices())
            _run(graph, session, [recorder, *listeners], clock, result)
    except (Exception, KeyboardInterrupt, Cancelled) as error:  # the result carries it
        if os.environ.get("PACKRAT_DEBUG"):
            raise
        result.fail(error)
    result.seconds = round(clock.ticks() - begun, 3)
    recorder.end(result)
    return result


def _open_session(pipeline: Pipeline, choices: Choices) -> BackupSession:
    stages = pipeline.stages.values()
    return BackupSession(
        service=pipeline.service,
        host=pipeline.host,
        keys=read_key_file(pipeline.key_file),
        destinations=open_destinations(pipeline),
        journal=Journal(pipeline.state_dir, pipeline.service),
        secret=resolve,
        log=log_file(pipeline.state_dir, pipeline.service),
        cache=open_cache(pipeline.state_dir),
        spool_path=os.path.join(pipeline.spool, pipeline.service),
        readers=tuple(str(s["destination"]) for s in stages if s.get("kind") == "upload"),
        archive_id=os.urandom(16),
        source=next((s["path"] for s in stages if s.get("kind") == "collect"), ""),
        take_over=choices.take_over,
        accept_shrink=choices.accept_shrink,
    )


def _run(
    graph: Graph,
    session: BackupSession,
    listeners: Sequence[Listener],
    clock: Clock,
    result: Result,
) -> None:
    def note(event: Event) -> None:
        if isinstance(event, Warned):
            result.warnings.append(masked(event.text))

    clear(session.spool_path)
    run = Run(session, Shared([note, *listeners], clock))
    try:
        with interruptible(run), breaking_off(run, session.destinations.values()):
            outcome = execute(graph, run)
        sum_up(graph, outcome, session, result)
        if result.exit == Exit.DONE:
            forget(session.source, session.journal)
    finally:
        _empty_spool(session, result)
        session.cache.close()


def _empty_spool(session: BackupSession, result: Result) -> None:
    """Remove what a destination has by now; what none could take stays for a later run."""
    spool = session.spool
    if spool and spool.whole and not result.holders and result.exit != Exit.INTERRUPTED:
        spool.keep()
        result.error = (
            f"{result.error}. The backup {result.id} waits in the spool;"
            " the next run takes it to the destinations without reading the source again"
        )
    elif spool:
        spool.remove()
    for name in result.holders:
        with suppress(VaultError):
            catalog = session.cache.catalog(
                session.destinations[name], session.service, session.keys
            )
            there = [held.stored for held in catalog.held]
            for held in [held for held in session.waiting.held if held.stored in there]:
                session.waiting.destination.delete(session.service, held.stored.name)
                session.waiting.held.remove(held)
