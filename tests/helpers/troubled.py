"""Pipeline of stages in which anything can go wrong, for tests of the engine."""

import threading
import time
from collections import Counter
from typing import ClassVar

from engine.events import Failed, Finished, Skipped
from engine.facts import Facts
from engine.graph import Graph, Node
from engine.run import Clock, Run, Shared
from engine.stage import FanOut, Link, Scope, Stage
from engine.wiring import execute

WAIT = 10


class Item: ...


class World:
    """Record of what happened, in order, and events that a test sets."""

    def __init__(self):
        self.lines = []
        self.items = []
        self.over = threading.Event()
        self.go = threading.Event()
        self.stalled = threading.Event()


class Trouble(Stage):
    """A stage that fails, stalls or is interrupted before its first item, or at its end."""

    needs: ClassVar[tuple] = (World,)
    inverse_needs: ClassVar[tuple] = (World,)
    fail: str = ""

    def trouble(self, at, run):
        if self.fail == at:
            raise OSError(f"{run.stage} fails {at}")
        if self.fail == f"{at} by Ctrl-C":
            raise KeyboardInterrupt
        if self.fail == f"{at} by cancelling":
            run.cancel()
        if self.fail == f"{at} by stalling":
            run.fact(World).stalled.set()
            assert run.fact(World).go.wait(WAIT)

    def through(self, items, run):
        run.fact(World).lines.append(f"{run.stage} begins")
        self.trouble("first", run)
        for item in items:
            run.advance(1, 10)
            yield item
        self.trouble("last", run)
        run.fact(World).lines.append(f"{run.stage} ends")


class Source(Trouble):
    kind: ClassVar[str] = "source"
    gives: ClassVar[type | None] = Item

    def forward(self, _, run):
        return self.through(iter(range(3)), run)

    def inverse(self, items, run):
        return self.through(items, run)


class Through(Trouble):
    kind: ClassVar[str] = "through"
    backwards: ClassVar[str] = "hguorht"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item

    def forward(self, items, run):
        return self.through(items, run)

    def inverse(self, items, run):
        return self.through(items, run)


class Pass(Trouble, Link):
    kind: ClassVar[str] = "pass"

    def forward(self, items, run):
        return self.through(items, run)


class Step(Trouble):
    kind: ClassVar[str] = "step"

    def forward(self, items, run):
        return self.through(items, run)


class Fan(Trouble, FanOut):
    kind: ClassVar[str] = "fan"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item

    def forward(self, items, run):
        for item in self.through(items, run):
            run.fact(World).items.append(item)
        run.fact(World).over.set()
        yield from ()

    def branch(self, run):
        world, seen = run.fact(World), 0
        while True:
            over = world.over.wait(0.005)
            run.check()
            yield from world.items[seen:]
            seen = len(world.items)
            if over:
                return

    def inverse(self, items, run):
        return self.through(items, run)


class Hold(Scope, Trouble):
    kind: ClassVar[str] = "hold"
    ahead: int = 100

    @property
    def read_ahead(self):
        return self.ahead

    def acquire(self, run):
        run.fact(World).lines.append("acquire")
        self.trouble("acquire", run)

    def release(self, run):
        run.fact(World).lines.append("release")
        self.trouble("release", run)


class Select(Source):
    kind: ClassVar[str] = "select"


KINDS = (Source, Through, Pass, Step, Fan, Hold, Select)
SPEC = {
    "first": {"kind": "step"},
    "source": {"kind": "source", "after": ["first"]},
    "stop": {"kind": "hold", "after": ["source"]},
    "inside": {"kind": "through", "after": ["stop"]},
    "start": {"releases": "stop", "after": ["inside"]},
    "pack": {"kind": "pass", "after": ["start"]},
    "fan": {"kind": "fan", "after": ["pack"]},
    "a": {"kind": "through", "after": ["fan"]},
    "a2": {"kind": "through", "after": ["a"]},
    "b": {"kind": "through", "after": ["fan"]},
    "after_start": {"kind": "step", "after": ["start"]},
    "after_a": {"kind": "step", "after": ["a2"]},
    "end": {"kind": "step", "after": ["after_a", "b", "after_start"]},
}


def spec(**fails):
    """Return the pipeline with some stages in trouble."""
    return {n: s | ({"fail": fails[n]} if fails.get(n) else {}) for n, s in SPEC.items()}


def run_of(document, *listeners, reverse=False, clock=None):
    """Return the graph of a document, a run for it, and its world."""
    graph = Graph.build(document, KINDS, [World])
    if reverse:
        graph = graph.reverse("a2", [Node("select", Select())], [World])
    world = World()
    return graph, Run(Shared(listeners, clock or Clock(), facts=Facts([world]))), world


def go(document, **more):
    """Run a document; return its outcome, its world and its events."""
    events = []
    graph, run, world = run_of(document, events.append, **more)
    return execute(graph, run), world, events


def wait_for(line, world):
    """Wait until a stage has noted a line."""
    limit = time.monotonic() + WAIT
    while line not in world.lines and time.monotonic() < limit:
        time.sleep(0.01)
    assert line in world.lines


def ends(events):
    """Count how often each stage has ended."""
    return Counter(e.stage for e in events if isinstance(e, Finished | Failed | Skipped))
