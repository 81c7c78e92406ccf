"""Undo a restore in place, or forget what it set aside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from engine.facts import Facts
from engine.graph import Graph
from engine.run import Cancelled, Run, Shared
from engine.wiring import execute
from packrat.errors import Exit
from packrat.runs.given import service_given
from packrat.runs.lock import service_lock
from packrat.runs.repair import require_repaired
from packrat.runs.signals import interruptible
from packrat.text.report import count_text, warn
from specs.compile import compile_service
from stages.errors import SourceError
from stages.given import GIVEN
from stages.in_place.kept import asides, forget
from stages.journal import Journal
from stages.kinds import KINDS

if TYPE_CHECKING:
    from packrat.program import Program
    from specs.pipeline import Pipeline


def undo(program: Program, service: str) -> int:
    """Put back what the newest restore in place set aside; raises what ended it."""
    [service] = program.services([service])
    config = program.config
    path = config.services[service].path
    with service_lock(config.state_dir, service, time.time()):
        for sentence in require_repaired(config.state_dir, service):
            warn(sentence)
        kept = asides(path)
        if not kept:
            raise SourceError(
                f"there is nothing to undo for {service}: {path} holds nothing set aside",
                f"packrat restore {service} --in-place restores another backup",
            )
        pipeline = compile_service(config, service)
        given = (Journal(config.state_dir, service), *service_given(pipeline))
        run = Run(Shared(facts=Facts(given)))
        with interruptible(run):
            outcome = execute(_graph(pipeline, kept[-1]), run)
        for error in outcome.failed.values():
            raise KeyboardInterrupt if isinstance(error, Cancelled) else error
    print(f"{service}: {path} is as it was before the restore")
    return Exit.DONE


def forget_aside(program: Program, service: str) -> int:
    """Delete what restores in place set aside."""
    [service] = program.services([service])
    config = program.config
    with service_lock(config.state_dir, service, time.time()):
        for sentence in require_repaired(config.state_dir, service):
            warn(sentence)
        count = forget(config.services[service].path, Journal(config.state_dir, service))
    print(f"{service}: {count_text(count, 'folder')} deleted" if count else "nothing was set aside")
    return Exit.DONE


def _graph(pipeline: Pipeline, aside: str) -> Graph:
    """Return the graph of an undo: with the containers stopped, as for the restore."""
    stages = pipeline.stages
    spec: dict[str, dict[str, Any]] = {"undo": {"kind": "undo", "aside": aside}}
    if "stop" in stages:
        spec["undo"]["after"] = ["stop"]
        spec["stop"] = stages["stop"] | {"after": []}
        spec["start"] = {"releases": "stop", "after": ["undo"]}
    return Graph.build(spec, KINDS, GIVEN["undo"])
