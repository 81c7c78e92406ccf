"""Calls that may hang: each has a time limit and can be cancelled."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any

    from vault.store.base import Check

Result = TypeVar("Result")

GLANCE_SECONDS = 0.25
"""Longest time between two calls of `check`."""
PATIENCE_SECONDS = 60.0
CLOSING_SECONDS = 5.0
SLOWEST_RATE = 32 << 10
"""Bytes per second; a slower transfer counts as hanging."""


def patience(size: int) -> float:
    """Return the time limit in seconds of a call that moves `size` bytes."""
    return PATIENCE_SECONDS + size / SLOWEST_RATE


def in_thread(work: Callable[[], Result], seconds: float, check: Check) -> Result:
    """Run blocking code in a thread of its own.

    If `check` raises or the time is over (TimeoutError), the thread is abandoned.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised again by the waiting thread)
            fault = error if isinstance(error, Exception) else LibraryError(error)
            future.set_exception(fault)

    threading.Thread(target=run, daemon=True).start()
    return _result(future, seconds, check)


class LibraryError(Exception):
    """Exception of a library that is not an Exception: a panic, an exit, a cancellation.

    Whatever a library raises is a failure of its call. Only the program may end the program.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")


class Loop:
    """Event loop in a thread of its own, so that no store waits for another."""

    def __init__(self) -> None:
        import uvloop  # only if needed: importing it takes as long as a short command runs

        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        # The libraries leave tasks behind after a fault that was already reported.
        self.loop.set_exception_handler(lambda *_: None)
        threading.Thread(target=_drive, args=(self.loop,), daemon=True).start()
        # Later, because the libraries close their connections when they are collected themselves.
        later = (self.loop.call_later, CLOSING_SECONDS, self.loop.stop)
        weakref.finalize(self, self.loop.call_soon_threadsafe, *later)

    def run(self, work: Coroutine[Any, Any, Result], seconds: float, check: Check) -> Result:
        """Run a coroutine; it is cancelled if `check` raises or the time is over (TimeoutError)."""
        import asyncio

        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return _result(future, seconds, check)
        except BaseException:
            future.cancel()
            raise


def _drive(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _result(future: Future[Result], seconds: float, check: Check) -> Result:
    until = time.monotonic() + seconds
    while not wait([future], GLANCE_SECONDS).done:
        check()
        if time.monotonic() > until:
            raise TimeoutError
    return future.result()
