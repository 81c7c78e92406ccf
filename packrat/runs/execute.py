"""Run of a graph with a watchdog, and in order to its end when a signal arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from engine.facts import Facts
from engine.run import Clock, Run, Shared
from engine.wiring import execute
from packrat.runs.signals import interruptible
from packrat.runs.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.events import Listener
    from engine.graph import Graph
    from engine.run import Outcome
    from stages.errors import SourceError


class Executed(Struct, frozen=True):
    """A run that has ended."""

    run: Run
    outcome: Outcome
    problem: SourceError | None
    """Reason why the watchdog ended it, if it did."""


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
