"""Containers: stopped while the source is read or exchanged, and started again afterwards."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Scope
from stages.errors import SourceError
from stages.facts import AtRest, CommandLog, Downtime, DowntimeClock
from stages.items import Piece
from stages.journal import Journal, Journaled
from stages.service.compose import stop_order
from stages.service.container_lock import LOCK_SECONDS, REPAIR_SECONDS, ContainerLocks
from stages.service.docker import REVIVAL_SECONDS, DockerEngine, NoContainer
from stages.service.inventory import read_inventory
from stages.service.neighbours import others, restart_text, used_by
from stages.source.roots import Roots
from stages.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.run import Run
    from stages.service.docker import Container

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
    needs: ClassVar[tuple[type, ...]] = (Journal, DowntimeClock, ContainerLocks)
    inverse_needs: ClassVar[tuple[type, ...]] = (Journal, DowntimeClock, ContainerLocks)
    uses: ClassVar[tuple[Any, ...]] = (Roots(),)
    inverse_uses: ClassVar[tuple[Any, ...]] = (Roots(),)
    provides: ClassVar[tuple[type, ...]] = (AtRest,)
    inverse_provides: ClassVar[tuple[type, ...]] = (AtRest,)
    release_provides: ClassVar[tuple[type, ...]] = (Downtime,)

    names: tuple[str, ...] = ()
    compose: str | None = None
    """Compose project whose containers are stopped after these, those that need others first."""
    dumped: tuple[str, ...] = ()
    """Containers that keep running, because their databases are dumped or loaded."""
    host: str | None = None
    stop_timeout: int = 30
    health_timeout: int = 120
    max_downtime: int | None = None
    exchanges: bool = False
    """The files are exchanged meanwhile: other containers that use them must restart."""

    def weight(self, item: Any) -> int:
        """Return about how much memory an item takes, in bytes."""
        if not isinstance(item, Piece):
            return 1
        entries = len(item.kept.entries) if item.kept else 1
        return len(item.data) + ENTRY_BYTES * entries

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return their names."""
        project = [f"Compose project {self.compose}"] if self.compose else []
        return ", ".join([*self.names, *project])

    def describe_release(self) -> str:
        """Return what is started."""
        project = [f"Compose project {self.compose}"] if self.compose else []
        return f"{', '.join([*project, *reversed(self.names)])}, and see that all is well"

    def acquire(self, run: Run) -> None:
        """Lock all and stop those that run; raises SourceError.

        What runs is written into the journal before anything is stopped, and which one is being
        stopped, so that it runs again whatever becomes of this process.
        """
        journal, locks = run.fact(Journal), run.fact(ContainerLocks)
        engine = DockerEngine(self.host)
        found = locks.take_named(
            engine,
            self.all_names(engine),
            LOCK_SECONDS,
            lambda reason: run.emit(Waiting(run.stage, LOCK_SECONDS, reason)),
            run.check,
        )
        for container in found:
            container.require_stoppable()
        self._warn_of_others(engine, found, run)
        ran = [container.name for container in found if container.running]
        note: dict[str, Any] = {
            "ran": ran,
            "paused": [container.name for container in found if container.paused],
            "stopping": None,
        }
        if ran:
            journal.note(run.scope, self, note)
            run.fact(DowntimeClock).begin(run.clock.ticks(), self.max_downtime)
        for name in ran:
            run.check()
            journal.note(run.scope, self, note | {"stopping": name})
            self._stop(engine, name, run)
        if ran:
            journal.note(run.scope, self, note)
        locks.note_at_rest()
        run.provide(AtRest(looked=True))

    def release(self, run: Run) -> None:
        """Start what ran and check that it is well; raises SourceError with all that went wrong."""
        locks = run.fact(ContainerLocks)
        try:
            run.provide(self._start_again(locks, run))
        finally:
            locks.release()

    def put_back(
        self,
        found: dict[str, Any],
        _: Callable[[Any], str],
        locks: ContainerLocks,
        __: CommandLog,
    ) -> str:
        """Start what a dead run left down, and return a sentence; raises SourceError."""
        engine = DockerEngine(self.host)
        names, gone = self._lock_again(engine, found["ran"], locks)
        stopping = found.get("stopping")
        down = [name for name in names if name == stopping or not engine.inspect(name).running]
        problems = self._start(engine, down, stopping)
        paused = [name for name in found.get("paused", ()) if name in names]
        if problems := [*problems, *self._pause(engine, paused)]:
            raise problems[0]
        started = f"started {', '.join(down)} again" if down else "its containers run"
        missing = "".join(f"; {error} any more" for error in gone)
        return f"a run was killed while containers were down: {started}{missing}"

    def stand_still(self, found: dict[str, Any], locks: ContainerLocks) -> None:
        """Stop again what was started since the run died; raises SourceError."""
        engine = DockerEngine(self.host)
        names, _ = self._lock_again(engine, found["ran"], locks)
        for name in names:
            if engine.inspect(name).running:
                engine.stop(name, self.stop_timeout)

    def all_names(self, engine: DockerEngine) -> list[str]:
        """Return all containers in the order of the stop; raises SourceError."""
        project = stop_order(read_inventory(engine), self.compose) if self.compose else []
        found = dict.fromkeys([*self.names, *project])
        return [name for name in found if name not in self.dumped]

    def _warn_of_others(self, engine: DockerEngine, found: list[Container], run: Run) -> None:
        """Warn of other containers that a stop or the new files affect."""
        for other in others(engine, {container.id for container in found}):
            for container in found:
                if container.running and other.shares_network_of(container):
                    run.warn(
                        f"container {other.name} uses the network of container {container.name}"
                        " and loses it when that one stops: name it in docker.containers, too"
                    )
            if self.exchanges and (used := used_by(other, run.fact(Roots).folders)):
                run.warn(restart_text(other, used))

    def _stop(self, engine: DockerEngine, name: str, run: Run) -> None:
        run.emit(Waiting(run.stage, self.stop_timeout))
        begun = run.clock.ticks()
        engine.stop(name, self.stop_timeout)
        if engine.inspect(name).running:
            raise SourceError(
                f"container {name} runs again right after it was stopped",
                "something starts it at once: end that first",
            )
        if run.clock.ticks() - begun >= max(self.stop_timeout, 1):
            run.warn(
                f"container {name} did not end within {self.stop_timeout} s and was killed;"
                " docker.stop_timeout allows more time"
            )
        run.advance(1)

    def _start_again(self, locks: ContainerLocks, run: Run) -> Downtime:
        journal, engine = run.fact(Journal), DockerEngine(self.host)
        if locks.at_rest:
            for name in locks.names:
                self._look_meanwhile(engine, name, run)
        found = journal.found(run.scope)
        if found is None:  # nothing ran
            return Downtime()
        run.emit(Waiting(run.stage, REVIVAL_SECONDS * len(found["ran"])))
        problems = self._start(engine, found["ran"], found["stopping"])
        down = bool(problems)
        downtime = Downtime(run.fact(DowntimeClock).end(run.clock.ticks()))
        if not down and not found["paused"]:
            journal.done(run.scope)
        if not problems and not run.cancelled:
            problems = self._ills(engine, found["ran"], run)
        pausing = self._pause(engine, found["paused"])
        if found["paused"] and not down and not pausing:
            journal.done(run.scope)
        if problems := [*problems, *pausing]:
            raise SourceError(
                "; ".join(map(str, problems)), next((p.hint for p in problems if p.hint), "")
            )
        return downtime

    def _start(
        self, engine: DockerEngine, names: list[str], stopping: str | None
    ) -> list[SourceError]:
        """Start what ran, the one that was stopped last first; return what went wrong.

        One that fails is tried again after the others, since it may need one of them, for example
        its network.
        """
        left = [*reversed(names)]
        while True:
            problems: dict[str, SourceError] = {}
            for name in left:
                try:
                    if name == stopping:
                        # The engine goes on with a stop that was broken off: a start before its
                        # end does nothing, and then the container is down.
                        with suppress(SourceError):
                            engine.stop(name, self.stop_timeout)
                    engine.start(name)
                except SourceError as error:
                    problems[name] = error
            if len(problems) in (0, len(left)):
                return [*problems.values()]
            left = [*problems]

    @staticmethod
    def _pause(engine: DockerEngine, names: Sequence[str]) -> list[SourceError]:
        """Pause what was paused before; return what went wrong."""
        problems = []
        for name in names:
            try:
                if not engine.inspect(name).paused:
                    engine.pause(name)
            except SourceError as error:
                problems.append(error)
        return problems

    @staticmethod
    def _lock_again(
        engine: DockerEngine, names: Sequence[str], locks: ContainerLocks
    ) -> tuple[list[str], list[NoContainer]]:
        """Lock what a dead run had locked; return the names, and errors for what is gone."""
        there, gone = [], []
        for name in names:
            try:
                there.append(engine.inspect(name))
            except NoContainer as error:  # it keeps no other one down
                gone.append(error)
        locks.take(there, REPAIR_SECONDS, lambda _: None)
        return [container.name for container in there], gone

    @staticmethod
    def _look_meanwhile(engine: DockerEngine, name: str, run: Run) -> None:
        """Warn of a container that was started while its files were read."""
        try:
            if engine.inspect(name).running:
                run.warn(f"container {name} was started while its files were read or written")
        except SourceError:
            return  # starting it says what is wrong

    def _ills(self, engine: DockerEngine, names: Sequence[str], run: Run) -> list[SourceError]:
        """Wait until all are healthy; return what is wrong with those that are not in time."""
        run.emit(Waiting(run.stage, self.health_timeout))
        begun = time.monotonic()
        restarts: dict[str, int] = {}
        found: dict[str, SourceError | None] = {}
        while left := [name for name in names if name not in found]:
            run.check()
            waited = time.monotonic() - begun
            for name in left:
                try:
                    now = engine.inspect(name)
                except SourceError as error:
                    found[name] = error
                    continue
                hint = f"docker logs {name} tells more"
                if not now.running or now.restarts != restarts.setdefault(name, now.restarts):
                    what = f"container {name} ended again after its start, status {now.exit_code}"
                    found[name] = SourceError(what, hint)
                elif now.health == "healthy" or (not now.health and waited >= STEADY_SECONDS):
                    found[name] = None
                elif waited >= self.health_timeout:
                    said = (
                        f"; its check says: {now.health_output[-200:]}" if now.health_output else ""
                    )
                    what = f"container {name} is not healthy after {self.health_timeout} s{said}"
                    found[name] = SourceError(what, hint)
            time.sleep(POLL_SECONDS)
        return [ill for name in names if (ill := found[name])]
