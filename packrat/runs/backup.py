"""Backup of a service: a forward run of its pipeline, under its lock."""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.events import Event, Listener, Warned
from engine.run import Cancelled, Clock
from packrat.errors import Exit
from packrat.program import DocumentProgram, Program
from packrat.runs.catalogs import alarms_of
from packrat.runs.execute import execute_watched, service_given
from packrat.runs.forgetting import settle
from packrat.runs.lock import service_lock
from packrat.runs.recorder import Recorder
from packrat.runs.repair import clear, require_repaired
from packrat.runs.result import Result, sum_up
from packrat.runs.room import forgettable_text, lacks_room
from packrat.text.alarms import alarm_text
from specs.destinations.local import Local
from stages.facts import Holdings, Job, Stores
from stages.in_place.forget import forget
from stages.in_place.replaced import measure
from stages.masking import masked
from stages.source.roots import Roots
from stages.spool_folder import SpoolFolder
from stages.upload import Upload
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.pipeline import Pipeline
    from vault.catalog.catalog import Catalog


class Choices(Struct, frozen=True):
    """Exceptions that the user allows for one run."""

    take_over: bool = False
    """Continue the backups of another host."""
    accept_shrink: bool = False
    """Accept a source that has lost more than half of its files or bytes."""


def back_up(
    pipeline: Pipeline,
    listeners: Sequence[Listener] = (),
    choices: Choices | None = None,
    clock: Clock | None = None,
) -> Result:
    """Run one service's pipeline forward; every error ends up in the result."""
    result = Result(pipeline.service)
    clock = clock or Clock()
    begun = clock.ticks()
    recorder = Recorder(pipeline.state_dir, pipeline.service, clock)
    try:
        pipeline.graph()
        with service_lock(pipeline.state_dir, pipeline.service, clock.now() / 1e9):
            recorder.begin()
            result.warnings += require_repaired(pipeline.state_dir, pipeline.service)
            _run(pipeline, [recorder, *listeners], choices or Choices(), clock, result)
    except (Exception, KeyboardInterrupt, Cancelled) as error:  # the result carries it
        if os.environ.get("PACKRAT_DEBUG"):
            raise
        result.fail(error)
    result.seconds = round(clock.ticks() - begun, 3)
    recorder.end(result)
    return result


def _run(
    pipeline: Pipeline,
    listeners: Sequence[Listener],
    choices: Choices,
    clock: Clock,
    result: Result,
) -> None:
    def note(event: Event) -> None:
        if isinstance(event, Warned):
            result.warnings.append(masked(event.text))

    graph, since = pipeline.graph(), time.time()
    program = DocumentProgram([pipeline])
    stores, keys = Stores(program.destinations()), program.keys
    before = program.record.state(pipeline.service)
    spool = SpoolFolder(os.path.join(pipeline.spool, pipeline.service))
    job = Job(
        service=pipeline.service,
        host=pipeline.host,
        archive_id=os.urandom(16),
        destinations=tuple(n.stage.destination for n in graph.order if isinstance(n.stage, Upload)),
        take_over=choices.take_over,
        accept_shrink=choices.accept_shrink,
    )
    ours = service_given(pipeline, f"backup {job.own[:8]}")
    given = (job, keys, stores, program.cache, program.record, spool, *ours)
    clear(spool.path)
    listeners = [note, *listeners]
    with closing(program.cache):
        done = execute_watched(job.service, graph, given, listeners, clock, pipeline.timeout)
        outcome = done.outcome
        sum_up(graph, done, result)
        if result.exit == Exit.DONE and (roots := outcome.fact(Roots)):
            result.warnings += _forget_replaced(pipeline, roots, clock.now() / 1e9)
        if any(map(lacks_room, outcome.failed.values())):
            result.error = "; ".join(filter(None, (result.error, _forgettable(pipeline))))
        if holdings := outcome.fact(Holdings):
            found = holdings.catalogs
            # As it was before catch-up brought back what had vanished.
            alarms = alarms_of(program, job.service, found.values(), since, state=before)
            result.raise_alarms(map(alarm_text, alarms))
            since = time.time()
            now = _drop_delivered(result, stores, program, holdings.waiting)
            alarms_of(program, job.service, now, since, infer=False)
            result.warnings += settle(program, [stores[name] for name in found], job.service)


def _forget_replaced(pipeline: Pipeline, roots: Roots, now: float) -> list[str]:
    """Delete what restores set aside long enough ago; return warnings."""
    until = now - pipeline.keep_replaced
    failed = forget(pipeline.state_dir, pipeline.service, roots.places, until).failed
    measure(pipeline.state_dir, pipeline.service)
    return [f"what a restore had replaced could not be deleted: {text}" for text in failed]


def _forgettable(pipeline: Pipeline) -> str:
    """Return the commands that make room on the disks that a backup writes to."""
    own = [one.root for one in pipeline.destinations.values() if isinstance(one, Local)]
    return forgettable_text(pipeline.state_dir, [pipeline.spool, pipeline.state_dir, *own])


def _drop_delivered(
    result: Result, stores: Stores, program: Program, waiting: Catalog
) -> list[Catalog]:
    """Delete spooled archives that are at a destination which also has the new backup.

    Return what the destinations that have it list now.
    """
    catalogs = []
    for name in result.holders:
        with suppress(VaultError):
            catalog = program.cache.catalog(stores[name], result.service, program.keys)
            catalogs.append(catalog)
            there = [item.stored for item in catalog.listed]
            for item in [item for item in waiting.listed if item.stored in there]:
                waiting.destination.delete(result.service, item.stored.name)
                waiting.listed.remove(item)
    return catalogs
