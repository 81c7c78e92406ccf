"""Watchdog of a run: ends it when it makes no progress, takes too long, or does not end.

It is a listener of the run's events, and a thread that checks the time. It ends a run in three
steps, with ASKED_SECONDS without any event between them: request all stages to stop, interrupt the
main thread, and report what blocks the run and end the process. The last step loses nothing: the
next command repairs what is left behind, as after a power cut.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packrat.errors import Exit
from packrat.runs.threads import blocked_threads
from stages.errors import SourceError
from stages.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.events import Event
    from engine.run import Clock, Run

STALL_SECONDS = 3600.0
"""A run without any event for this time is ended. A wait with its own limit does not count."""
ASKED_SECONDS = 20.0
"""Time without any event after which the next step follows. Twice this is less than the minute that
the daemon gives its jobs."""
LOOK_SECONDS = 0.5
ENDING = {signal.SIGINT, signal.SIGTERM}
"""Signals that end a run."""


class Watchdog:
    """Watchdog of one run."""

    def __init__(self, service: str, clock: Clock, timeout: float | None = None) -> None:
        """`timeout` is the longest time in seconds for the whole run."""
        self.problem: SourceError | None = None
        """Reason why it ended the run, None if it did not."""
        self._service, self._clock, self._timeout = service, clock, timeout
        self._begun = self._moved = clock.ticks()
        self._asked: float | None = None
        self._interrupted = False
        self._stage = ""
        self._waits: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Record that the run makes progress."""
        with self._lock:
            self._moved = self._clock.ticks()
            self._stage = event.stage
            self._waits.pop(event.stage, None)
            if isinstance(event, Waiting):
                self._waits[event.stage] = self._moved + event.seconds

    @contextmanager
    def over(self, run: Run, interrupt: Callable[[], None] | None) -> Iterator[None]:
        """Watch a run; `interrupt` raises KeyboardInterrupt in the main thread.

        Without it, the run is only requested to stop, because its process belongs to other code.
        """
        done = threading.Event()

        def watch() -> None:
            # The main thread handles signals, but not while the kernel holds it: then they stay
            # pending, and sigpending(2) shows those that the calling thread blocks.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            while not done.wait(LOOK_SECONDS):
                if interrupt and signal.sigpending() & ENDING:
                    run.cancel()
                self.check(run, interrupt)

        thread = threading.Thread(target=watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def check(self, run: Run, interrupt: Callable[[], None] | None) -> None:
        """Take the next step to end the run, if it is due."""
        now = self._clock.ticks()
        with self._lock:
            idle = now - max(self._moved, self._asked or 0, *self._waits.values())
        if not run.cancelled:
            self.problem = self._reason(now, idle)
            if self.problem:
                run.cancel()
        elif self._asked is None:
            self._asked = now
        elif idle > ASKED_SECONDS and interrupt:
            self._asked = now
            if self._interrupted:
                self._give_up()
            self._interrupted = True
            interrupt()

    def _reason(self, now: float, idle: float) -> SourceError | None:
        """Return the reason why the run must end, or None."""
        if self._timeout and now - self._begun > self._timeout:
            return SourceError(
                f"the run took longer than its timeout of {self._timeout:.0f} s, and was ended",
                f"services.{self._service}.timeout allows more time",
            )
        if idle > STALL_SECONDS:
            blocked = "".join(f"; {text}" for text in blocked_threads())
            return SourceError(
                f"no progress for {STALL_SECONDS:.0f} s, last in stage {self._stage}; the run was"
                f" ended{blocked}",
                "look at the disk, the network filesystem or the program that it waits for",
            )
        return None

    def _give_up(self) -> None:
        """End the process; its threads cannot be stopped."""
        why = f"{self.problem}; {self.problem.hint}. It" if self.problem else "the run"
        blocked = "; ".join(blocked_threads()) or "a thread is blocked"
        text = (
            f"packrat: {self._service}: {why} could not be stopped in order: {blocked}. The process"
            " ends as soon as the kernel releases it; the next packrat command repairs"
            " what is left unfinished"
        )
        os.write(2, f"{text}\n".encode())  # the thread that is blocked may hold the lock of stderr
        os._exit(Exit.FAILED if self.problem else Exit.INTERRUPTED)
