"""Write a run down while it goes: a listener of its events, and a last word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from engine.events import Finished, Progress
from packrat.errors import Exit
from packrat.runs.history import History, document_of

if TYPE_CHECKING:
    from engine.events import Event
    from engine.run import Clock
    from packrat.runs.result import Result

INSTANT = "PACKRAT_INSTANT"
"""The daemon tells its jobs in this variable for which instant they run."""
PROGRESS_SECONDS = 1.0


class Recorder:
    """Keeps the history of one run."""

    def __init__(self, state_dir: str, service: str, clock: Clock, job: str = "backup") -> None:
        self._history = History(state_dir)
        self._service, self._job, self._clock = service, job, clock
        self._number = 0
        self._stages: dict[str, dict[str, Any]] = {}
        self._due = 0.0

    def begin(self) -> None:
        """Write down that the run has begun; its lock is held."""
        instant = os.environ.pop(INSTANT, None)  # not for the commands that we run
        self._number = self._history.begin(
            self._service,
            self._job,
            self._clock.now() / 1e9,
            by="hand" if instant is None else "daemon",
            scheduled=float(instant) if instant else None,
        )

    def __call__(self, event: Event) -> None:
        """Note what each stage took, and now and then how far the run is."""
        if isinstance(event, Finished):
            self._stages[event.stage] = {
                "seconds": round(event.seconds, 3),
                "bytes": event.bytes,
                "items": event.items,
            }
        elif isinstance(event, Progress) and self._clock.ticks() >= self._due:
            self._due = self._clock.ticks() + PROGRESS_SECONDS
            self._history.advance(
                self._number,
                {"stage": event.stage, "bytes": event.bytes, "items": event.items},
            )

    def end(self, result: Result) -> None:
        """Write down how it ended; one that only found the lock held was no run."""
        if result.exit != Exit.LOCKED:
            if not self._number:
                self.begin()
            status = "interrupted" if result.exit == Exit.INTERRUPTED else result.status
            now = self._clock.now() / 1e9
            self._history.end(self._number, status, now, document_of(result), self._stages)
        self._history.close()
