"""Signs of life from a stage that moves no items: it waits, or it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import Event

if TYPE_CHECKING:
    from engine.run import Run


class Waiting(Event, frozen=True):
    """Wait of a stage, for at most this many seconds, which is no lack of progress.

    The wait is over with the next event of the same stage.
    """

    seconds: float
    reason: str = ""
    """Cause of the wait, if the user should know it."""


def work_on(run: Run) -> None:
    """Report progress although no item has passed; raise Cancelled if the run was cancelled."""
    run.check()
    run.advance()
