"""Stages that go back item by item: where, says the one that takes what they make."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from engine.processes import in_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.node import Node

A = TypeVar("A")
B = TypeVar("B")

CULPRIT = "culprit"
"""An attribute of an error: the stage that it is of."""


class Stream(Generic[A]):
    """Items that whoever takes them has made where it wants: `come` becomes them by `way`."""

    def __init__(self, come: Iterator[Any], way: Callable[[Iterator[Any]], Iterator[A]]) -> None:
        self._come = come
        self._way = way

    def wait(self) -> None:
        """Wait for the first one to come: all that is done before is done then."""
        first = next(self._come, self)
        if first is not self:
            self._come = chain([first], self._come)

    def in_processes(self, work: Callable[[Iterator[A]], B]) -> Iterator[B]:
        """Make them in several processes, and give what `work` there makes of those of one item.

        In order; raises what `work` or the stages raise, and CopyDied. What may be done there,
        `engine.processes` says.
        """
        return in_processes(lambda item: work(self._way(iter((item,)))), self._come)


def steps(chain: list[Node]) -> Iterator[list[Node]]:
    """Put stages that go back item by item together with the one that takes what they make."""
    step: list[Node] = []
    for node in chain:
        step.append(node)
        if not (node.reversed and node.stage.itemwise):
            yield step
            step = []
    yield from ([node] for node in step)


def named(stage: str, items: Iterator[A]) -> Iterator[A]:
    """Note on an error, which may come from another process, the stage that it is of."""
    try:
        yield from items
    except Exception as error:
        error.__dict__.setdefault(CULPRIT, stage)
        raise


def stage_of(error: BaseException) -> str:
    """Give the stage that is noted on an error; none is ""."""
    stage: str = error.__dict__.get(CULPRIT, "")
    return stage
