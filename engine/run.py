"""Run a graph: wire chains of generators, start a thread for each branch, own every release.

The rules of the wiring, all of them:

- A chain is nested generators, drained in one thread. It starts at a stage that takes nothing.
  Stages that go back item by item leave it to the next one where that happens: it gets a `Stream`.
- A fan-out ends its chain; each branch behind it is a chain in a thread of its own.
- What only waits for others runs in the thread that finished the last of them.
- A patient stage works before the others that it comes after are over, and then joins them: what
  has not begun by then runs in its thread. A stage may finish before all its items have passed.
- When a stage fails, what depends on it is skipped, but for stages that run `always`. Other
  branches go on. A scope that was acquired is released, whatever happens.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from engine.events import Event, Failed, Finished, Listener, Progress, Skipped, Started, Warned
from engine.parallel import thread_pool
from engine.stage import FanOut, Scope
from engine.stream import Stream, named, stage_of, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from engine.graph import Graph, Node

Context = TypeVar("Context")

PROGRESS_SECONDS = 0.1
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the others. Python's 5 ms would let the threads
that talk to a network slow the one that drives the chain, which gives way at each system call, to
a third of its speed (measured)."""


class Cancelled(BaseException):
    """The run was asked to stop. Not an Exception, so that no stage swallows it."""


class Clock(Struct, frozen=True):
    """Where a run gets its time from."""

    now: Callable[[], int] = time.time_ns
    """Nanoseconds since 1970."""
    ticks: Callable[[], float] = time.monotonic
    """Seconds that never go back."""


@dataclass
class Shared:
    """What all stages of one run have in common."""

    listeners: Sequence[Listener] = ()
    clock: Clock = field(default_factory=Clock)
    random: Callable[[int], bytes] = os.urandom
    cancelled: threading.Event = field(default_factory=threading.Event)
    pool: ThreadPoolExecutor = field(default_factory=thread_pool)
    lock: threading.RLock = field(default_factory=threading.RLock)


class Run(Generic[Context]):
    """A stage's view of the run: time, randomness, cancellation and the events come from here.

    `context` is what the program gave the run for its stages to share.
    """

    def __init__(self, context: Context, shared: Shared | None = None, stage: str = "") -> None:
        self.context = context
        self.shared = shared or Shared()
        self.stage = stage
        self.items = 0
        self.bytes = 0
        self.whole: int | None = None
        """Bytes that will have passed at the end, as soon as the stage knows."""
        self.orphaned = threading.Event()
        """Set when what feeds this stage will never end well."""
        self._due = 0.0
        self._join: Callable[[], None] = lambda: None
        self._finish: Callable[[], None] = lambda: None

    def at(self, stage: str) -> Run[Context]:
        """Give the same run, as seen by another stage."""
        return Run(self.context, self.shared, stage)

    @property
    def clock(self) -> Clock:
        """The time of this run."""
        return self.shared.clock

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for heavy work; one for each core."""
        return self.shared.pool

    def random(self, size: int) -> bytes:
        """Give `size` random bytes."""
        return self.shared.random(size)

    def cancel(self) -> None:
        """Ask all stages to stop."""
        self.shared.cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self.shared.cancelled.is_set()

    def check(self) -> None:
        """Raise Cancelled when the run was asked to stop, or no more can come for this stage."""
        if self.shared.cancelled.is_set() or self.orphaned.is_set():
            raise Cancelled

    def join(self) -> None:
        """See to it that all the stage comes after is over; raises the error of what failed."""
        self._join()

    def finish(self) -> None:
        """Say that the stage's own work is done, though items of it are still to pass.

        What comes after it, and waits for nothing else, runs before this returns.
        """
        self._finish()

    def advance(self, items: int = 0, bytes: int = 0) -> None:  # noqa: A002 (the unit is the name)
        """Count what has passed, and tell listeners now and then."""
        self.items += items
        self.bytes += bytes
        ticks = self.shared.clock.ticks()
        if ticks >= self._due:
            self._due = ticks + PROGRESS_SECONDS
            self.emit(Progress(self.stage, self.items, self.bytes, self.whole))

    def warn(self, text: str) -> None:
        """Tell a person something; the run goes on."""
        self.emit(Warned(self.stage, text))

    def emit(self, event: Event) -> None:
        """Send an event to every listener, one at a time."""
        with self.shared.lock:
            for listener in self.shared.listeners:
                listener(event)


class Outcome(Struct, frozen=True):
    """How a run ended. What is in none of the two sets is done."""

    failed: dict[str, BaseException]
    """Stage -> what ended it; a cancelled run has a Cancelled here."""
    skipped: dict[str, str]
    """Stage -> the stage because of which it did not run to its end."""


def execute(graph: Graph, run: Run[Any]) -> Outcome:
    """Run the graph to its end and say how it ended; raises nothing that a stage raised."""
    return _Execution(graph, run).execute()


class _Execution:
    """One run of one graph."""

    def __init__(self, graph: Graph, run: Run[Any]) -> None:
        self.graph = graph
        self.run = run
        self.views = {name: run.at(name) for name in graph.nodes}
        for name, view in self.views.items():
            # A run and its execution are one.
            view._join = partial(self._join, name)  # noqa: SLF001
            view._finish = partial(self._settle, graph.nodes[name])  # noqa: SLF001
        self.settled: set[str] = set()
        self.begun: set[str] = set()
        self.started: dict[str, float] = {}
        self.outcome = Outcome({}, {})
        self.releases = ExitStack()
        self.held: dict[str, Callable[[], None]] = {}

    def execute(self) -> Outcome:
        sys.setswitchinterval(SWITCH_SECONDS)
        threads = [
            threading.Thread(target=self._chain, args=(branch.name,), name=branch.name, daemon=True)
            for node in self.graph.order
            if isinstance(node.stage, FanOut) and not node.reversed
            for branch in self.graph.fed(node.name)
        ]
        try:
            for thread in threads:
                thread.start()
            try:
                for node in self.graph.order:
                    if not self.graph.before(node.name):
                        self._chain(node.name)
            finally:
                # Before joining: a branch may take hours, and a container is waiting.
                self.releases.close()
            for thread in threads:
                while thread.is_alive():  # a signal that comes as a wait begins does not end it
                    thread.join(PROGRESS_SECONDS)
        except BaseException:
            self.run.cancel()
            raise
        finally:
            self.run.pool.shutdown(wait=True, cancel_futures=True)
        return self.outcome

    def _chain(self, head: str) -> None:
        """Run the chain that starts here, then what waited only for its stages."""
        with self.run.shared.lock:
            if head in self.begun:
                return
            self.begun.add(head)
        chain = self._members(head)
        generators: list[Iterator[Any]] = []
        try:
            items: Iterator[Any] = self._source(chain[0])
            for step in steps(chain):
                items = self._watched(step, items)
                generators.append(items)
            for _ in items:
                pass
        except BaseException as error:  # noqa: BLE001 (the outcome carries it, whatever it is)
            if isinstance(error, KeyboardInterrupt):
                self.run.cancel()
            if not any(node.name in self.outcome.failed for node in chain):
                self._failed(chain[0], error)
        finally:
            for generator in reversed(generators):
                generator.close()
        culprit = next((n.name for n in chain if n.name in self.outcome.failed), None)
        culprit = culprit or next(filter(None, map(self._blocked, chain)), None)
        for node in chain:
            if node.name not in self.settled:
                self._settle(node, because=culprit)

    def _members(self, head: str) -> list[Node]:
        chain = [self.graph.nodes[head]]
        while True:
            fed = self.graph.fed(chain[-1].name)
            forks = isinstance(chain[-1].stage, FanOut) and not chain[-1].reversed
            if forks or not fed:
                return chain
            chain.append(fed[0])

    def _source(self, node: Node) -> Iterator[Any]:
        feeder = self.graph.feeder(node.name)
        if feeder and isinstance(feeder.stage, FanOut):
            return feeder.stage.branch(self.views[node.name])
        return iter(())

    def _watched(self, step: list[Node], items: Iterator[Any]) -> Iterator[Any]:
        """One step's output: says when its stages start and end, names the stage that failed."""
        cancelled = self.run.shared.cancelled.is_set
        for node in step:
            view = self.views[node.name]
            self.started[node.name] = view.clock.ticks()
            view.emit(Started(node.name))
        try:
            for node in step:
                if self.graph.feeder(node.name) and not node.stage.patient:
                    self.views[node.name].join()
            for item in self._work(step, items):
                if cancelled():
                    view.check()
                yield item
        except GeneratorExit:
            raise
        except BaseException as error:
            self._failed(self.graph.nodes.get(stage_of(error), step[-1]), error)
            raise
        for node in step:
            if node.name not in self.settled:
                self._settle(node)

    def _work(self, step: list[Node], items: Iterator[Any]) -> Iterator[Any]:
        *itemwise, node = step
        view = self.views[node.name]
        if isinstance(node.stage, Scope):
            if node.releases:
                self._let_go(node.releases)
            else:
                self._hold(node, node.stage, view)
            return iter(())
        work: Any = node.stage.inverse if node.reversed else node.stage.forward
        result: Iterator[Any] = work(
            Stream(items, partial(self._way, itemwise)) if itemwise else items, view
        )
        return result

    def _way(self, nodes: list[Node], items: Iterator[Any]) -> Iterator[Any]:
        """Chain stages that go back item by item."""
        for node in nodes:
            items = named(node.name, node.stage.inverse(items, self.views[node.name]))
        return items

    def _join(self, name: str) -> None:
        """Run what a stage comes after and has not begun, but for what feeds it."""
        feeder = self.graph.feeder(name)
        others = [other for other in self.graph.before(name) if other is not feeder]
        for other in others:
            if other.name not in self.settled:
                self._chain(other.name)
        for other in others:
            while other.name not in self.settled:  # it runs in another thread
                self.views[name].check()
                time.sleep(PROGRESS_SECONDS)
        culprit = next(filter(None, map(self._culprit, others)), None)
        if culprit:
            raise self.outcome.failed[culprit]

    def _hold(self, node: Node, scope: Scope, view: Run[Any]) -> None:
        """Acquire; the release is owned by the run from just before, and happens once."""
        self.held[node.name] = lambda: scope.release(view)
        self.releases.callback(self._let_go_at_last, node)
        scope.acquire(view)

    def _let_go(self, name: str) -> None:
        self.held.pop(name, lambda: None)()

    def _let_go_at_last(self, node: Node) -> None:
        """Release what no node came to release; its error ends nothing else."""
        try:
            self._let_go(node.name)
        except BaseException as error:  # noqa: BLE001 (the outcome carries it)
            self._failed(node, error)

    def _failed(self, node: Node, error: BaseException) -> None:
        with self.run.shared.lock:
            if any(error is known for known in self.outcome.failed.values()):
                return  # a stage further down the chain sees the same error pass
            if self.views[node.name].orphaned.is_set():
                return  # not its fault: it is skipped
            self.outcome.failed[node.name] = error
        self.run.emit(Failed(node.name, error))

    def _settle(self, node: Node, because: str | None = None) -> None:
        """Count a stage as over, and run what waited only for it."""
        view = self.views[node.name]
        with self.run.shared.lock:
            self.settled.add(node.name)
            if because and isinstance(node.stage, FanOut):
                for branch in self.graph.fed(node.name):
                    for member in self._members(branch.name):
                        self.views[member.name].orphaned.set()
            if because and node.name != because:
                self.outcome.skipped[node.name] = because
                view.emit(Skipped(node.name, because))
            elif because is None:
                seconds = view.clock.ticks() - self.started.get(node.name, view.clock.ticks())
                view.emit(Finished(node.name, view.items, view.bytes, seconds))
            ready = [
                after
                for after in self.graph.after(node.name)
                if self.graph.feeder(after.name) is None
                and all(b.name in self.settled for b in self.graph.before(after.name))
            ]
        for after in ready:
            bad = self._blocked(after)
            # What is held is let go, whatever happened to the stages in between.
            if bad is None or after.stage.always or after.releases in self.held:
                self._chain(after.name)
            else:
                self._skip(after, bad)

    def _blocked(self, node: Node) -> str | None:
        """Give the stage because of which this one cannot run."""
        return next(filter(None, map(self._culprit, self.graph.before(node.name))), None)

    def _culprit(self, node: Node) -> str | None:
        """Give the stage because of which this one was not done, if it was not."""
        if node.name in self.outcome.failed:
            return node.name
        return self.outcome.skipped.get(node.name)

    def _skip(self, node: Node, because: str) -> None:
        for member in self._members(node.name):
            if member.name not in self.settled:
                self._settle(member, because=because)
