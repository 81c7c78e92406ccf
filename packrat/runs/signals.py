"""Signal handling, which ends a run in order, even in the middle of a transfer."""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from packrat.runs.watchdog import Watchdog

TOGETHER_SECONDS = 0.5
"""Signals within this time after the first one count as the same."""
_end_requested = threading.Event()
"""Set if a signal requested this process to end before its run began."""


def interrupt_on_sigterm() -> None:
    """Make SIGTERM end this process in order, also before its run begins."""
    signal.signal(signal.SIGTERM, _interrupt_once)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal has requested this process to end."""
    if _end_requested.is_set():
        raise KeyboardInterrupt


def _interrupt_once(number: int, _: object) -> None:
    """Raise KeyboardInterrupt once; the threads of a dying daemon send several signals.

    Python drops an exception that it cannot raise, for example in the lock of an import. So the
    request is stored as well, and checked later.
    """
    signal.signal(number, signal.SIG_IGN)
    _end_requested.set()
    raise KeyboardInterrupt


@contextmanager
def interruptible(run: Run, watchdog: Watchdog) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and the watchdog end the run in order; the second signal ends it at once.

    Signals that come together count as one: a parent that dies with several threads sends several.
    Outside of the main thread, the watchdog alone asks the run to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        with watchdog.over(run, None):
            yield
        return

    if _end_requested.is_set():  # an earlier signal, whose exception was dropped
        run.cancel()
    first = math.inf

    def stop(_: int, __: object) -> None:
        nonlocal first
        run.cancel()
        first = min(first, time.monotonic())
        if time.monotonic() - first > TOGETHER_SECONDS:
            raise KeyboardInterrupt

    def interrupt() -> None:
        nonlocal first
        first = -math.inf
        # To this thread: a blocking system call of another one would not be interrupted.
        signal.pthread_kill(main, signal.SIGTERM)

    main = threading.get_ident()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with watchdog.over(run, interrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
