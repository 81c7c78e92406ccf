"""Containers: stopped while the source is read or exchanged, and started again afterwards."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Scope
from stages.errors import SourceError
from stages.facts import AtRest, Downtime, DowntimeClock
from stages.items import Piece
from stages.journal import Journal, Journaled
from stages.service.docker import Engine, NoContainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.run import Run

STEADY_SECONDS = 3.0
"""A container without a HEALTHCHECK counts as healthy when it has run for so long."""
POLL_SECONDS = 0.1
ENTRY_BYTES = 800
"""Memory that an entry of the index takes, about."""


class Containers(Scope, Journaled):
    """Stops containers in the given order, starts in reverse those that ran."""

    kind: ClassVar[str] = "containers"
    guards: ClassVar[bool] = True
    read_ahead: ClassVar[int] = 80 << 20
    """Memory, in bytes, for what is read while containers are down: they start before chunking,
    compression and the spool go on with it."""
    needs: ClassVar[tuple[type, ...]] = (Journal, DowntimeClock)
    inverse_needs: ClassVar[tuple[type, ...]] = (Journal, DowntimeClock)
    provides: ClassVar[tuple[type, ...]] = (AtRest,)
    inverse_provides: ClassVar[tuple[type, ...]] = (AtRest,)
    release_provides: ClassVar[tuple[type, ...]] = (Downtime,)

    names: tuple[str, ...]
    host: str | None = None
    stop_timeout: int = 30
    health_timeout: int = 120
    max_downtime: int | None = None

    def weight(self, item: Any) -> int:
        """Return about how much memory an item takes, in bytes."""
        if not isinstance(item, Piece):
            return 1
        entries = len(item.kept.entries) if item.kept else 1
        return len(item.data) + ENTRY_BYTES * entries

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return their names."""
        return ", ".join(self.names)

    def describe_release(self) -> str:
        """Return what is started."""
        return f"{', '.join(reversed(self.names))}, and see that all is well"

    def acquire(self, run: Run) -> None:
        """Stop those that run; raises SourceError.

        What runs is written into the journal before anything is stopped, and which one is being
        stopped, so that it runs again whatever becomes of this process.
        """
        journal = run.fact(Journal)
        engine = Engine(self.host)
        found = [engine.look(name) for name in self.names]
        for container in found:
            container.require_stoppable()
        ran = [container.name for container in found if container.running]
        if not ran:
            run.provide(AtRest(looked=True))
            return
        journal.note(run.scope, self, {"ran": ran, "stopping": None})
        run.fact(DowntimeClock).begin(run.clock.ticks(), self.max_downtime)
        for name in ran:
            run.check()
            journal.note(run.scope, self, {"ran": ran, "stopping": name})
            begun = run.clock.ticks()
            engine.stop(name, self.stop_timeout)
            if engine.look(name).running:
                raise SourceError(
                    f"container {name} runs again right after it was stopped",
                    "something starts it at once: end that first",
                )
            if run.clock.ticks() - begun >= max(self.stop_timeout, 1):
                run.warn(
                    f"container {name} did not end within {self.stop_timeout} s and was killed;"
                    " docker.stop_timeout gives it longer"
                )
            run.advance(1)
        journal.note(run.scope, self, {"ran": ran, "stopping": None})
        run.provide(AtRest(tuple(ran), looked=True))

    def release(self, run: Run) -> None:
        """Start what ran, and see that it is well; raises SourceError with all that went wrong."""
        journal = run.fact(Journal)
        found = journal.found(run.scope)
        if found is None:  # nothing ran
            run.provide(Downtime())
            return
        engine = Engine(self.host)
        if found.get("stopping") is None:
            for name in found["ran"]:
                self._look_meanwhile(engine, name, run)
        problems = self._start(engine, found["ran"], found.get("stopping"))
        downtime = Downtime(run.fact(DowntimeClock).end(run.clock.ticks()))
        if not problems:
            journal.done(run.scope)
            if not run.cancelled:
                problems = list(filter(None, (self._ill(engine, n, run) for n in found["ran"])))
        if problems:
            raise SourceError(
                "; ".join(map(str, problems)), next((p.hint for p in problems if p.hint), "")
            )
        run.provide(downtime)

    def put_back(self, found: dict[str, Any], _: Callable[[Any], str]) -> str:
        """Start what a dead run left down, and say so; raises SourceError."""
        engine = Engine(self.host)
        down, gone = [], []
        for name in found["ran"]:
            try:
                if name == found.get("stopping") or not engine.look(name).running:
                    down.append(name)
            except NoContainer as error:  # nobody can start it, and it keeps no other down
                gone.append(f"; {error} any more")
        if problems := self._start(engine, down, found.get("stopping")):
            raise problems[0]
        started = f"started {', '.join(down)} again" if down else "its containers run"
        return f"a run died while containers were down: {started}{''.join(gone)}"

    def _start(self, engine: Engine, names: list[str], stopping: str | None) -> list[SourceError]:
        """Start what ran, the one that was stopped last first; one that fails stops no other."""
        problems = []
        for name in reversed(names):
            try:
                if name == stopping:
                    # The engine goes on with a stop that was broken off: a start before its end
                    # does nothing, and then the container is down.
                    with suppress(SourceError):
                        engine.stop(name, self.stop_timeout)
                engine.start(name)
            except SourceError as error:
                problems.append(error)
        return problems

    def stand_still(self, found: dict[str, Any]) -> None:
        """Stop again what somebody has started since the run died; raises SourceError."""
        engine = Engine(self.host)
        for name in found["ran"]:
            with suppress(NoContainer):  # what is gone uses no files
                if engine.look(name).running:
                    engine.stop(name, self.stop_timeout)

    @staticmethod
    def _look_meanwhile(engine: Engine, name: str, run: Run) -> None:
        """Warn of a container that somebody else started while its files were read."""
        try:
            if engine.look(name).running:
                run.warn(f"somebody started container {name} while its files were read or written")
        except SourceError:
            return  # starting it says what is wrong

    def _ill(self, engine: Engine, name: str, run: Run) -> SourceError | None:
        """Wait until a container is healthy; return what is wrong if it is not in time."""
        begun = time.monotonic()
        restarts = None
        while True:
            try:
                now = engine.look(name)
            except SourceError as error:
                return error
            restarts = now.restarts if restarts is None else restarts
            waited = time.monotonic() - begun
            hint = f"docker logs {name} tells more"
            if not now.running or now.restarts != restarts:
                what = f"container {name} ended again after its start, status {now.exit_code}"
                return SourceError(what, hint)
            if now.health == "healthy" or (not now.health and waited >= STEADY_SECONDS):
                return None
            if waited >= self.health_timeout:
                said = f"; its check says: {now.health_output[-200:]}" if now.health_output else ""
                what = f"container {name} is not healthy after {self.health_timeout} s{said}"
                return SourceError(what, hint)
            run.check()
            time.sleep(POLL_SECONDS)
