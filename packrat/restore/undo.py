"""Undo a restore in place, or forget what it set aside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from engine.graph import Graph
from engine.run import Cancelled, Run, Shared, execute
from packrat.errors import Exit
from packrat.program import log_file
from packrat.runs.lock import service_lock
from packrat.runs.repair import require_repaired, resolve
from packrat.runs.signals import interruptible
from packrat.text.report import count_text, warn
from specs.compile import compile_service
from stages.errors import SourceError
from stages.in_place.kept import asides, forget
from stages.journal import Journal
from stages.kinds import KINDS
from stages.session import Session

if TYPE_CHECKING:
    from packrat.program import Program


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
        session = Session(
            journal=Journal(config.state_dir, service),
            secret=resolve,
            log=log_file(config.state_dir, service),
        )
        run = Run(session, Shared())
        with interruptible(run):
            outcome = execute(_graph(program, service, kept[-1]), run)
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


def _graph(program: Program, service: str, aside: str) -> Graph:
    """Give the way back: with the containers stopped, as for the restore."""
    stages = compile_service(program.config, service).stages
    spec: dict[str, dict[str, Any]] = {"undo": {"kind": "undo", "aside": aside}}
    if "stop" in stages:
        spec["undo"]["after"] = ["stop"]
        spec["stop"] = stages["stop"] | {"after": []}
        spec["start"] = {"releases": "stop", "after": ["undo"]}
    return Graph.build(spec, KINDS)
