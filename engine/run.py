"""A stage's view of its run: time, randomness, cancellation, facts and events."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from engine.events import Event, Listener, Progress, Warned
from engine.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.spec import Node

T = TypeVar("T")

PROGRESS_SECONDS = 0.1


class Cancelled(BaseException):
    """Cancellation of the run. Not an Exception, so that no stage swallows it."""


class Clock(Struct, frozen=True):
    """Source of time for a run."""

    now: Callable[[], int] = time.time_ns
    """Nanoseconds since 1970."""
    ticks: Callable[[], float] = time.monotonic
    """Seconds that never go back."""


@dataclass
class Shared:
    """State shared by all stages of one run."""

    listeners: Sequence[Listener] = ()
    clock: Clock = field(default_factory=Clock)
    random: Callable[[int], bytes] = os.urandom
    cancelled: threading.Event = field(default_factory=threading.Event)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(os.cpu_count()))
    """Threads for heavy work, one for each core."""
    facts: Facts = field(default_factory=Facts)
    closings: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    """(stage, function that closes its resource), in the order of opening."""
    speaking: threading.RLock = field(default_factory=threading.RLock)


class Position(Struct, frozen=True):
    """Position of a view in its graph; outside of one, every request is answered from `given`."""

    node: Node | None = None
    providers: dict[type, str] = {}
    chain: frozenset[str] = frozenset()
    """Stages that run in the same thread as this view."""


class Run:
    """One stage's view of the run."""

    def __init__(
        self, shared: Shared | None = None, stage: str = "", position: Position | None = None
    ) -> None:
        self.shared = shared or Shared()
        self.stage = stage
        self.items = self.bytes = 0
        self.whole: int | None = None
        """Bytes that will have passed at the end; set by the stage once it knows."""
        self.orphaned = threading.Event()
        """Set when the input of this stage can no longer end well."""
        self._position = position or Position()
        self._due = 0.0

    @classmethod
    def alone(cls, *given: Any, stage: str = "stage") -> Run:
        """Return a view for one stage outside of a graph, with these facts and resources."""
        return cls(Shared(facts=Facts(given)), stage)

    @property
    def scope(self) -> str:
        """Name of the stage that acquires the scope; the same during its release."""
        node = self._position.node
        return node.releases or node.name if node else self.stage

    @property
    def clock(self) -> Clock:
        """Clock of this run."""
        return self.shared.clock

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for heavy work, one for each core."""
        return self.shared.pool

    def random(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return self.shared.random(size)

    def fact(self, kind: type[T]) -> T:
        """Return the fact of this type that a stage before this one provides.

        Waits for a provider in another thread. Raises Unavailable if it failed or was skipped, and
        LookupError for a fact that is undeclared, or not yet provided in the stage's own thread.
        """
        node, facts = self._position.node, self.shared.facts
        provider = self._position.providers.get(kind)
        default = next((one for one in node.uses if type(one) is kind), None) if node else None
        if node and default is None and kind not in node.needs:
            raise LookupError(f"{self.stage} does not declare that it needs {kind.__name__}")
        mine = provider and provider in self._position.chain and not facts.ended(provider)
        if mine and not facts.provided(kind, provider):
            what = f"asks for {kind.__name__} before {provider} has provided it"
            raise LookupError(f"{self.stage} {what}")
        value: T = (
            facts.wait(kind, provider, self.check) if provider else facts.given(kind, default)
        )
        return value

    resource = fact
    """Return the open resource of this type, in the same way as `fact`."""

    def provide(self, value: Any) -> None:
        """Provide a fact to the stages after this one."""
        node = self._position.node
        if node is not None and type(value) not in node.provides:
            raise LookupError(f"{self.stage} does not declare that it provides {type(value)}")
        self.shared.facts.provide(self.stage, value)

    def open(self, resource: T, close: Callable[[], None]) -> T:
        """Provide a resource. `close` is called once, after the last stage of the run."""
        self.shared.closings.append((self.stage, close))
        self.provide(resource)
        return resource

    def cancel(self) -> None:
        """Ask all stages to stop."""
        self.shared.cancelled.set()

    @property
    def cancelled(self) -> bool:
        """True once the run was cancelled."""
        return self.shared.cancelled.is_set()

    def check(self) -> None:
        """Raise Cancelled if the run was cancelled, or if no more input can reach this stage."""
        if self.cancelled or self.orphaned.is_set():
            raise Cancelled

    def advance(self, items: int = 0, bytes: int = 0) -> None:  # noqa: A002 (the unit is the name)
        """Count what has passed, and notify listeners a few times a second."""
        self.items += items
        self.bytes += bytes
        ticks = self.shared.clock.ticks()
        if ticks >= self._due:
            self._due = ticks + PROGRESS_SECONDS
            self.emit(Progress(self.stage, self.items, self.bytes, self.whole))

    def warn(self, text: str) -> None:
        """Send a warning to the user; the run goes on."""
        self.emit(Warned(self.stage, text))

    def emit(self, event: Event) -> None:
        """Send an event to every listener, one event at a time."""
        with self.shared.speaking:
            for listener in self.shared.listeners:
                listener(event)


class Outcome(Struct, frozen=True):
    """Result of a run. Stages in neither of the first two fields are done."""

    failed: dict[str, BaseException]
    """Stage -> its error; a cancelled run has a Cancelled here."""
    skipped: dict[str, str]
    """Stage -> the stage because of which it did not run to its end."""
    facts: Facts
    """Facts that the stages have provided."""

    def fact(self, kind: type[T]) -> T | None:
        """Return the fact of this type, if a stage has provided one; the last one of several."""
        found = [*self.facts_of(kind)]
        return found[-1] if found else None

    def facts_of(self, kind: type[T]) -> Iterable[T]:
        """Return all facts of this type, in the order in which they were provided."""
        return self.facts.provided(kind).values()
