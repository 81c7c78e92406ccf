"""How a stage that moves no items shows that it is alive: it waits, or it works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import Event

if TYPE_CHECKING:
    from engine.run import Run


class Waiting(Event, frozen=True):
    """The stage waits, for so many seconds at most; that is no lack of progress.

    The wait is over with the next event of the same stage.
    """

    seconds: float
    reason: str = ""
    """What it waits for, if a person should know."""


def work_on(run: Run) -> None:
    """Count as progress although no item has passed; raise Cancelled if the run is to end."""
    run.check()
    run.advance()
