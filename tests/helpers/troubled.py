"""Stages in which anything may go wrong, for tests of the engine, and a pipeline of them."""

import threading
from typing import ClassVar

from engine.stage import FanOut, Scope, Stage

WAIT = 10


class Item: ...


class World:
    """What happened, in order, and the levers that a test pulls."""

    def __init__(self):
        self.lines = []
        self.items = []
        self.over = threading.Event()
        self.go = threading.Event()
        self.stalled = threading.Event()


class Trouble(Stage):
    """What may go wrong in a stage: `at` the first item, at the end, or not at all."""

    fail: str = ""

    def trouble(self, at, run):
        if self.fail == at:
            raise OSError(f"{run.stage} fails {at}")
        if self.fail == f"{at} by Ctrl-C":
            raise KeyboardInterrupt
        if self.fail == f"{at} by cancelling":
            run.cancel()
        if self.fail == f"{at} by stalling":
            run.context.stalled.set()
            assert run.context.go.wait(WAIT)

    def through(self, items, run):
        run.context.lines.append(f"{run.stage} begins")
        self.trouble("first", run)
        for item in items:
            run.advance(1, 10)
            yield item
        self.trouble("last", run)
        run.context.lines.append(f"{run.stage} ends")


class Source(Trouble):
    kind: ClassVar[str] = "source"
    gives: ClassVar[type | None] = Item

    def forward(self, items, run):
        return self.through(iter(range(3)), run)

    def inverse(self, items, run):
        yield from self.through(items, run)


class Through(Trouble):
    kind: ClassVar[str] = "through"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item

    def forward(self, items, run):
        return self.through(items, run)

    def inverse(self, items, run):
        return self.through(items, run)


class Step(Trouble):
    kind: ClassVar[str] = "step"

    def forward(self, items, run):
        return self.through(items, run)


class Always(Step):
    kind: ClassVar[str] = "always"
    always: ClassVar[bool] = True


class Fan(Trouble, FanOut):
    kind: ClassVar[str] = "fan"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item

    def forward(self, items, run):
        for item in self.through(items, run):
            run.context.items.append(item)
        run.context.over.set()
        yield from ()

    def branch(self, run):
        seen = 0
        while True:
            over = run.context.over.wait(0.005)
            run.check()
            yield from run.context.items[seen:]
            seen = len(run.context.items)
            if over:
                return

    def inverse(self, items, run):
        return self.through(items, run)


class Hold(Scope, Trouble):
    kind: ClassVar[str] = "hold"

    def acquire(self, run):
        run.context.lines.append("acquire")
        self.trouble("acquire", run)

    def release(self, run):
        run.context.lines.append("release")
        self.trouble("release", run)


class Select(Source):
    kind: ClassVar[str] = "select"


KINDS = (Source, Through, Step, Always, Fan, Hold)
SPEC = {
    "first": {"kind": "step"},
    "stop": {"kind": "hold", "after": ["first"]},
    "source": {"kind": "source", "after": ["stop"]},
    "start": {"releases": "stop", "after": ["source"]},
    "inside": {"kind": "through", "after": ["source"]},
    "fan": {"kind": "fan", "after": ["inside"]},
    "a": {"kind": "through", "after": ["fan"]},
    "a2": {"kind": "through", "after": ["a"]},
    "b": {"kind": "through", "after": ["fan"]},
    "after_start": {"kind": "step", "after": ["start"]},
    "after_a": {"kind": "step", "after": ["a2"]},
    "end": {"kind": "always", "after": ["after_a", "b", "after_start"]},
}
