"""Undo of an in-place restore, and deletion of the replaced folders."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from engine.events import Event, Warned
from engine.graph import Graph
from engine.run import Clock
from packrat.errors import Exit
from packrat.runs.execute import execute_watched, service_given
from packrat.runs.lock import service_lock
from packrat.runs.repair import require_repaired
from packrat.text.replaced import until_text
from packrat.text.report import count_text, minute_text, say, warn
from specs.compile import compile_service, reads_of
from specs.faults import printable
from stages.errors import SourceError
from stages.facts import Present
from stages.given import GIVEN
from stages.in_place.dumps import with_dump_folders
from stages.in_place.forget import forget
from stages.in_place.loads import note_failed, try_again, unloaded, unloaded_text
from stages.in_place.replaced import measure
from stages.in_place.undo import finished_later, newest_undoable
from stages.kinds import KINDS
from stages.masking import masked
from stages.source.roots import HeldRoots, Roots
from vault.archive.format import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.program import Program
    from specs.pipeline import Pipeline


def undo(program: Program, service: str, clock: Clock | None = None) -> int:
    """Put back what the newest in-place restore replaced; raises the error that ended it."""
    [service] = program.services([service])
    config, clock = program.config, clock or Clock()
    pipeline = compile_service(config, service, back=True)
    named = config.services[service].reads.named
    restored = f"{', '.join(named)} {'are as they were' if named[1:] else 'is as it was'} before"
    with service_lock(config.state_dir, service, clock.now() / 1e9):
        for sentence in require_repaired(config.state_dir, service, ("swapped", "undone")):
            warn(sentence)
        left = [one for one in unloaded(config.state_dir, service) if one.phase == "undone"]
        if left:
            given = (Roots(), Present(), *service_given(pipeline, "undo"))
            graph = _graph(pipeline, only_load=True)
            try_again(config.state_dir, left)
            _execute(service, graph, given, clock)
            _require_loaded(config.state_dir, service)
        if finished_later(config.state_dir, service):
            say(f"{service}: the interrupted undo was finished: {restored} the restore")
            return Exit.DONE
        records = newest_undoable(config.state_dir, service)
        if records is None:
            raise SourceError(
                f"there is nothing to undo for {service}: no restore in place is recorded, or every"
                " one was undone",
                f"packrat restore {service} --in-place restores another backup",
            )
        roots = reads_of(config, config.services[service]).resolve()
        roots = with_dump_folders(roots, config.state_dir, service)
        with closing(HeldRoots()) as held:
            held.hold(roots)
            given = (roots, held, *service_given(pipeline, "undo"))
            _execute(service, _graph(pipeline), given, clock)
        finished_later(config.state_dir, service)
        measure(config.state_dir, service)
    when = f" of {minute_text(records[0].since)}" if records[0].since else ""
    say(f"{service}: {restored} the restore{when}")
    now = clock.now() / 1e9
    until = until_text(stamp(now + config.keep_replaced_of(config.services[service])), now)
    folders = "\n  ".join(
        printable(os.path.join(roots.places.get(one.label, one.path), one.folder))
        for one in records
    )
    say(
        f"The restored files are in\n  {folders}\n"
        f"  packrat restore --forget {service}  deletes them\n"
        f"They stay until {until}."
    )
    return Exit.DONE


def forget_replaced(program: Program, service: str) -> int:
    """Delete the folders that in-place restores replaced, and those that undo took out."""
    [service] = program.services([service])
    config = program.config
    with service_lock(config.state_dir, service, time.time()):
        for sentence in require_repaired(config.state_dir, service, ("swapped", "undone")):
            warn(sentence)
        result = forget(config.state_dir, service, config.services[service].reads.labels)
    if result.failed:
        raise SourceError(
            f"{service}: could not delete {'; '.join(result.failed)}",
            "the next command tries again; backups leave it out",
        )
    count = result.folders
    say(f"{service}: {count_text(count, 'folder')} deleted" if count else "nothing to delete")
    return Exit.DONE


def _warned(event: Event) -> None:
    if isinstance(event, Warned):
        warn(masked(event.text))


def _execute(service: str, graph: Graph, given: Iterable[Any], clock: Clock) -> None:
    """Run a graph; raises the error that ended it."""
    done = execute_watched(service, graph, given, [_warned], clock)
    if ended := done.error:
        raise ended


def _require_loaded(state_dir: str, service: str) -> None:
    """Raise SourceError if an undo has not loaded a database, which left the configuration."""
    left = [one for one in unloaded(state_dir, service) if one.phase == "undone"]
    if left:
        note_failed(state_dir, left, SourceError("the configuration does not name it any more"))
        [record, *_] = [one for one in unloaded(state_dir, service) if one.phase == "undone"]
        raise SourceError(*unloaded_text(record))


def _graph(pipeline: Pipeline, *, only_load: bool = False) -> Graph:
    """Return the graph of an undo, with the containers stopped as for the restore.

    With `only_load`, the files are back already, and only the databases are loaded.
    """
    stages = pipeline.stages
    read = stages["preflight"]["read"]
    line: dict[str, dict[str, Any]] = {}
    after: list[str] = []

    def then(name: str, stage: dict[str, Any]) -> None:
        nonlocal after
        line[name] = stage | {"after": after}
        after = [name]

    databases = stages.get("dump", {}).get("databases")
    if databases and not only_load:
        named = {"service": pipeline.service, "databases": databases}
        then("set_aside", {"kind": "set_aside", **named})
    if "stop" in stages:
        then("stop", stages["stop"] | {"exchanges": True})
    if not only_load:
        then("undo", {"kind": "undo", "service": pipeline.service, "read": read})
    if databases:
        then("dump", {"kind": "dump", "inverse": True, "databases": databases})
    if "stop" in stages:
        then("start", {"releases": "stop"})
    given = (*GIVEN["undo"], Present) if only_load else GIVEN["undo"]
    return Graph.build(line, KINDS, given)
