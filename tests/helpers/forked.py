"""Runs in a child process that may send itself a signal at an event.

The child is forked: everything is loaded, so the run begins at once.
"""

import os
import signal
import traceback
from collections.abc import Callable
from itertools import count

from engine.events import Event, Listener
from packrat.restore.choose import choose
from packrat.runs.backup import back_up
from tests.helpers.house import House
from tests.helpers.restoring import restore


def forked(work: Callable[[], int]) -> int:
    """Run a function that returns an exit status in a child; return the process id."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        status = 99
        try:
            status = int(work())
        except BaseException:  # noqa: BLE001 (nothing of the test may go on in the child)
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def ended(child: int) -> int:
    """Wait for a child; return its exit status, or the negative number of its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def signalling(when: int | str, number: int = signal.SIGKILL) -> Listener:
    """Return a listener that signals its own process at the n-th event, or at `Finished stop`."""
    events = count(1)

    def listen(event: Event) -> None:
        if when in (next(events), f"{type(event).__name__} {event.stage}"):
            os.kill(os.getpid(), number)

    return listen


def backing_up(house: House, listener: Listener) -> int:
    """Back up in a child; return the process id."""
    return forked(lambda: back_up(house.pipeline(), [listener]).exit)


def restoring_in_place(house: House, listener: Listener) -> int:
    """Restore in place in a child; return the process id."""

    def work() -> int:
        program = house.program
        restore(program, house.service, choose(program, house.service), (), None, [listener])
        return 0

    return forked(work)
