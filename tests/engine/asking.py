"""Stages that provide, request and open facts, for tests."""

import threading
import time
from typing import Any, ClassVar

import pytest
from msgspec import Struct

from engine.facts import Facts
from engine.graph import Graph, GraphFaults
from engine.run import Run, Shared
from engine.stage import Link, Stage
from engine.wiring import execute
from tests.helpers.troubled import Fan, Source, World


class Note(Struct, frozen=True):
    text: str = "default"


class Other(Struct, frozen=True):
    pass


class Heard(list[tuple[str, Any]]):
    """Values that stages received, in order."""


class Tell(Link):
    """Stage that provides a note before or after its items, twice, never, or of another type."""

    kind: ClassVar[str] = "tell"
    provides: ClassVar[tuple] = (Note,)
    when: str = "before"
    wait: float = 0

    def forward(self, items, run):
        time.sleep(self.wait)
        if self.when == "fail":
            raise OSError("no note")
        if self.when in ("before", "twice"):
            run.provide(Note(run.stage))
        yield from items
        if self.when in ("after", "twice"):
            run.provide(Note(run.stage))
        if self.when == "undeclared":
            run.provide(Other())


class Ask(Link):
    """Stage that needs a note before or after its items, and records it."""

    kind: ClassVar[str] = "ask"
    needs: ClassVar[tuple] = (Note, Heard)
    when: str = "after"

    def forward(self, items, run):
        if self.when == "undeclared":
            run.fact(Other)
        if self.when == "before":
            run.fact(Heard).append((run.stage, run.fact(Note).text))
        yield from items
        if self.when == "after":
            run.fact(Heard).append((run.stage, run.fact(Note).text))


class Use(Ask):
    kind: ClassVar[str] = "use"
    needs: ClassVar[tuple] = (Heard,)
    uses: ClassVar[tuple] = (Note(),)


class Step(Stage):
    kind: ClassVar[str] = "step"

    def forward(self, items, run):
        yield from items


class Broken(Step):
    kind: ClassVar[str] = "broken"

    def forward(self, items, run):
        raise OSError("broken")
        yield


class Open(Step):
    kind: ClassVar[str] = "open"
    needs: ClassVar[tuple] = (Heard,)
    provides: ClassVar[tuple] = (Note,)
    fails: bool = False

    def forward(self, items, run):
        def close():
            run.fact(Heard).append((run.stage, "closed"))
            if self.fails:
                raise OSError(f"{run.stage} does not close")

        run.open(Note(run.stage), close)
        yield from items


KINDS = (Tell, Ask, Use, Step, Broken, Open, Source, Fan)


def build(document, *given):
    return Graph.build(document, KINDS, [Heard, World, *given])


def go(document, *given):
    heard, events = Heard(), []
    run = Run(Shared([events.append], facts=Facts([heard, World(), *given])))
    watchdog = threading.Timer(5, run.cancel)  # an endless wait becomes a failure instead of a hang
    watchdog.start()
    outcome = execute(build(document, *map(type, given)), run)
    watchdog.cancel()
    return outcome, heard, events


def faults(document):
    with pytest.raises(GraphFaults) as caught:
        build(document)
    return caught.value.faults


def after(kind, *before, **params):
    return {"kind": kind, "after": list(before), **params}


def failed(outcome):
    return {name: str(error) for name, error in outcome.failed.items()}
