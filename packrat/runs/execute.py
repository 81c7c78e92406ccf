"""Run of a graph with a watchdog, and in order to its end when a signal arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from engine.facts import Facts
from engine.run import Cancelled, Clock, Outcome, Run, Shared
from engine.wiring import execute
from packrat.program import log_file
from packrat.runs.repair import resolve
from packrat.runs.signals import interruptible
from packrat.runs.watchdog import Watchdog
from stages.facts import CommandLog, DowntimeClock, ScratchFolder, Secrets, StateFolder
from stages.journal import Journal
from stages.service.container_lock import ContainerLocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.events import Listener
    from engine.graph import Graph
    from specs.pipeline import Pipeline
    from stages.errors import SourceError


class Executed(Struct, frozen=True):
    """A run that has ended."""

    run: Run
    outcome: Outcome
    problem: SourceError | None
    """Reason why the watchdog ended it, if it did."""

    @property
    def error(self) -> BaseException | None:
        """The error that ended it, KeyboardInterrupt with the stage's name if it was cancelled."""
        for stage, error in self.outcome.failed.items():
            return self.problem or (
                KeyboardInterrupt(stage) if isinstance(error, Cancelled) else error
            )
        return None


def execute_watched(
    service: str,
    graph: Graph,
    given: Iterable[Any],
    listeners: Sequence[Listener] = (),
    clock: Clock | None = None,
    timeout: float | None = None,
) -> Executed:
    """Run a graph with these facts and resources; `timeout` is in seconds."""
    clock = clock or Clock()
    watchdog = Watchdog(service, clock, timeout)
    run = Run(Shared([watchdog, *listeners], clock, facts=Facts(given)))
    with interruptible(run, watchdog):
        outcome = execute(graph, run)
    return Executed(run, outcome, watchdog.problem)


def service_given(pipeline: Pipeline, run: str) -> tuple[Any, ...]:
    """Return facts and resources for every job that may stop containers or run commands.

    `run` names the run in the log of its commands.
    """
    state, service = pipeline.state_dir, pipeline.service
    return (
        CommandLog(log_file(state, service), run),
        ContainerLocks(state, service),
        DowntimeClock(),
        Journal(state, service),
        ScratchFolder.of(state),
        Secrets(resolve),
        StateFolder(state),
    )
