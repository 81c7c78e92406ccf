"""Recorder of a run in the history: a listener of its events."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from engine.events import Event, Finished, Progress
from packrat.errors import Exit
from packrat.runs.history import History

if TYPE_CHECKING:
    from engine.run import Clock
    from packrat.runs.result import Result

INSTANT = "PACKRAT_INSTANT"
"""Variable with the scheduled instant of a daemon's job."""
PROGRESS_SECONDS = 1.0


class Recorder:
    """Writer of one run's row in the history."""

    def __init__(self, state_dir: str, service: str, clock: Clock, job: str = "backup") -> None:
        self._history = History(state_dir)
        self._service, self._job, self._clock = service, job, clock
        self._number = 0
        self._stages: dict[str, dict[str, Any]] = {}
        self._due = 0.0

    def begin(self) -> None:
        """Record the start of the run; the caller holds its lock."""
        instant = os.environ.pop(INSTANT, None)  # not for the commands that we run
        self._number = self._history.begin(
            self._service,
            self._job,
            self._clock.now() / 1e9,
            by="hand" if instant is None else "daemon",
            scheduled=float(instant) if instant else None,
        )

    def __call__(self, event: Event) -> None:
        """Record the figures of finished stages, and the progress once a second."""
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
        """Record the end of the run; one that only found the lock held does not count."""
        if result.exit != Exit.LOCKED:
            if not self._number:
                self.begin()
            status = "interrupted" if result.exit == Exit.INTERRUPTED else result.status
            now = self._clock.now() / 1e9
            self._history.end(self._number, status, now, result.document, self._stages)
        self._history.close()
