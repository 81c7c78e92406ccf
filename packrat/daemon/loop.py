"""Loop of the daemon: runs what is due, and never one service twice at the same time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from packrat.daemon import systemd
from packrat.daemon.active_config import ActiveConfig
from packrat.daemon.docker_watch import DockerWatch, Looked
from packrat.daemon.jobs import Child, Job
from packrat.daemon.reporter import Reporter, notify_unusable
from packrat.daemon.timetables import VERIFY, Timetables
from packrat.daemon.work import work_of
from packrat.errors import Exit
from packrat.runs.daemon_state import DAEMON
from packrat.runs.history import History
from packrat.runs.lock import is_running, service_lock
from packrat.runs.status import LATE_SECONDS
from packrat.text.report import minute_text
from specs.exposure import exposed_metrics
from specs.faults import ConfigFaults
from specs.load import secrets_of
from stages.journal import journals

if TYPE_CHECKING:
    from collections.abc import Callable

    from packrat.daemon.log import Log

TICK_SECONDS = 10.0
"""Longest wait: the clock that waits use stops while the machine sleeps."""
REPAIR_SECONDS = 60.0
"""Longest interval between repairs that fail, for example while Docker is down."""
PATIENCE_SECONDS = 90.0
"""Longest wait for the children when the daemon ends."""
REPAIR = ".repair"


class Daemon:
    """Event loop that sleeps until a run is due, a job ends or a signal arrives."""

    def __init__(self, config_file: str, log: Log, now: Callable[[], float] = time.time) -> None:
        """Read the configuration; raises ConfigFaults. `now` returns seconds since 1970."""
        self._log, self._now = log, now
        self._active = ActiveConfig(config_file)
        self._history = History(self._active.config.state_dir)
        self._reporter = Reporter(self._active, self._history, log)
        self._tables = Timetables(self._history)
        self._docker = DockerWatch(lambda: self._active.written, self._look_at_containers)
        self._queue: deque[str] = deque()
        self._running: dict[str, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = self._reload = False
        self._repaired = self._repair_pause = 0.0
        self._lived = time.monotonic()

    async def run(self) -> int:
        """Run until a signal ends it; raises Locked if another daemon uses the state folder."""
        with ExitStack() as stack:
            state_dir = self._active.config.state_dir
            stack.enter_context(service_lock(state_dir, DAEMON, self._now()))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop)
            loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
            self._use_config()
            if self._active.config.listen:
                from packrat.daemon.http import serve

                if warning := exposed_metrics(self._active.config):
                    self._log.warn(warning)
                stack.enter_context(serve(self._active, self._is_alive))
            stack.callback(self._reporter.close)
            self._repair()
            self._log.info(f"packrat is up; {self._tables.summary(self._now())}")
            systemd.notify("READY=1", f"STATUS={len(self._tables)} schedules")
            while not self._stopping:
                self._tick(self._now())
                await self._sleep()
            await self._end()
        return Exit.DONE

    def _tick(self, now: float) -> None:
        """Queue what is due, start jobs, and check for overdue services."""
        self._lived = time.monotonic()
        systemd.notify("WATCHDOG=1")
        if self._reload or self._active.changed:
            self._reload_config()
        coming = [
            (table.mark, name, table)
            for name, table in self._tables.items()
            if name not in self._running and name not in self._queue and table.next(now) <= now
        ]
        # The one handled longest ago comes first, so that restarts do not starve the last.
        for _, name, table in sorted(coming, key=lambda one: one[:2]):
            late = now - (table.due(now) or now)
            if late > LATE_SECONDS and not self._catches_up(name):
                self._log.warn(f"{name}: missed, and not caught up (catch_up: false)")
                self._tables.mark_handled(name, now, ran=False)
            else:
                self._queue.append(name)
        self._repair_again()
        self._launch(now)
        self._reporter.check_config(now)
        self._reporter.check_overdue(now, {*self._queue, *self._running})

    def _launch(self, now: float) -> None:
        """Start the queued jobs in order, as far as there is room."""
        blocked: list[str] = []
        while self._queue and not self._stopping:
            name = self._queue.popleft()
            table = self._tables.get(name)
            instant = table.due(now) if table else None
            if table is None or instant is None:
                continue
            if instant in self._history.instants(name, 1):
                table.done(instant)  # run by a job that outlived its daemon
                continue
            if not self._has_room(name) or is_running(self._active.config.state_dir, name):
                blocked.append(name)
                continue
            self._start(self._job(name, instant))
        self._queue.extend(blocked)

    def _has_room(self, name: str) -> bool:
        """Return whether a job may start; a verification takes no slot of a backup."""
        if REPAIR in self._running:
            return False
        others = [other for other in self._running if not other.startswith(".")]
        return name == VERIFY or len(others) < self._active.config.max_parallel

    def _job(self, name: str, instant: float) -> Job:
        config = self._active.config
        if name == VERIFY:
            return Job(name, work_of(config, "verify", config.services), instant)
        timeout = config.services[name].timeout
        return Job(name, work_of(config, "backup", [name]), instant, timeout)

    def _start(self, job: Job) -> None:
        def say(text: str, name: str = job.name) -> None:
            self._log.warn(f"{name}: {text.removeprefix('warning: ')}", service=name)

        child = Child(job, say, self._active.file)
        self._running[job.name] = child
        if job.name != REPAIR:
            late = self._now() - job.instant > LATE_SECONDS
            why = f", for the missed run of {minute_text(job.instant)}" * late
            self._log.info(f"{job.name}: starts{why}", service=job.name)
            self._reporter.begins(job)
        task = asyncio.create_task(self._follow(child))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, child: Child) -> None:
        """Wait for a job, report its end and repair what it left behind."""
        job = child.job
        try:
            ended = await child.run()
        except OSError as error:  # no memory, no processes: it is tried again later
            self._log.error(f"{job.name}: cannot be started: {error}", service=job.name)
            await asyncio.sleep(TICK_SECONDS)
            return
        finally:
            del self._running[job.name]
            self._wake.set()
        if job.name == REPAIR or ended.status == Exit.LOCKED:
            return
        if self._stopping and (ended.status < 0 or ended.status == Exit.INTERRUPTED):
            return  # the next daemon runs its instant
        self._reporter.ended(ended, self._tables.next_text(job.name, self._now()))
        self._tables.mark_handled(job.name, job.instant)
        if ended.status < 0 and not self._stopping and REPAIR not in self._running:
            self._repair()  # at once: a container may be down

    def _repair(self) -> None:
        """Start the job that repairs what killed runs left behind."""
        self._repaired = time.monotonic()
        config = self._active.config
        self._start(Job(REPAIR, work_of(config, "repair", config.services), self._now()))

    def _repair_again(self) -> None:
        """Repeat a repair that failed, at once and then at growing intervals."""
        state_dir = self._active.config.state_dir
        if REPAIR in self._running or time.monotonic() - self._repaired < self._repair_pause:
            return
        if any(not is_running(state_dir, service) for service in journals(state_dir)):
            self._repair()
            self._repair_pause = min(2 * self._repair_pause + 1, REPAIR_SECONDS)
        else:
            self._repair_pause = 0.0

    def _use_config(self) -> None:
        config = self._active.config
        self._tables.build(config, self._now())
        self._log.hide(secrets_of(config))
        self._reporter.check_labels()
        if config.docker.labels or "unprotected" in config.notify.on:
            self._docker.look()

    def _look_at_containers(self, looked: Looked) -> None:
        """Use the labels of the containers, and notify those without a backup."""
        if looked.written is not self._active.written:
            self._docker.look()
            return
        if self._active.use_labels(looked.labelled, looked.inventory):
            self._tables.build(self._active.config, self._now())
            self._log.info(f"labels of containers read again; {self._tables.summary(self._now())}")
            self._wake.set()
        self._reporter.check_labels()
        self._reporter.check_unprotected(looked.covered)

    def _reload_config(self) -> None:
        """Load a changed configuration, or log its faults and keep the old one."""
        self._reload = False
        systemd.reloading()
        before = self._active.config
        try:
            self._active.read()
        except ConfigFaults as error:
            for fault in error.faults:
                self._log.error(f"keeping the previous configuration: {fault}")
        else:
            config = self._active.config
            if (before.state_dir, before.listen) != (config.state_dir, config.listen):
                self._log.warn(
                    "changes of state_dir and listen take effect when the daemon restarts"
                )
            self._use_config()
            self._log.info(f"configuration read again; {self._tables.summary(self._now())}")
        systemd.notify("READY=1")

    def _catches_up(self, name: str) -> bool:
        config = self._active.config
        return config.catch_up if name == VERIFY else config.catches_up(config.services[name])

    async def _sleep(self) -> None:
        """Sleep until something is due, the loop is woken, or a short time has passed."""
        now = self._now()
        waiting = [t.next(now) for n, t in self._tables.items() if n not in self._queue]
        seconds = min([TICK_SECONDS, systemd.watchdog_seconds() or TICK_SECONDS])
        seconds = min(seconds, max(min(waiting, default=now + seconds) - now, 0.0))
        busy = any(name in self._running for name in self._tables)
        with suppress(TimeoutError):
            # A service that is due while it runs must not cause a busy loop.
            await asyncio.wait_for(self._wake.wait(), max(seconds, 1.0 if busy else 0.01))
        self._wake.clear()

    async def _end(self) -> None:
        """End the jobs in order, and kill those that do not end in time."""
        systemd.notify("STOPPING=1")
        self._log.info(f"packrat ends; running: {', '.join(self._running) or 'nothing'}")
        for child in self._running.values():
            child.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_SECONDS)
        for child in self._running.values():
            child.kill()
        self._history.close()

    def _stop(self) -> None:
        """Begin to end in order; at the second request, kill the jobs."""
        if self._stopping:
            for child in self._running.values():
                child.kill()
        self._stopping = True
        self._wake.set()

    def _ask_reload(self) -> None:
        self._reload = True
        self._wake.set()

    def _is_alive(self) -> bool:
        return time.monotonic() - self._lived < 6 * TICK_SECONDS


def run_daemon(config_file: str, log: Log, now: Callable[[], float] = time.time) -> int:
    """Run the daemon in the foreground, by that clock; return the exit status."""
    try:
        daemon = Daemon(config_file, log, now)
    except ConfigFaults as error:
        notify_unusable(config_file, error, log)
        raise
    return asyncio.run(daemon.run())
