"""What S3 and SFTP have in common: an asynchronous fsspec file system behind a network.

Each destination has an event loop in a thread of its own, so that none waits for another. Every
call has a time limit, and is tried again where that can help; both happen in `call`, and there
alone the errors of the libraries become ours. A call that moves bytes can be broken off: on a slow
line it takes long. One that changes names, or cleans up after that, is short and goes through.
"""

from __future__ import annotations

import random
import threading
import time
from abc import abstractmethod
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from vault.errors import Away, VaultError
from vault.store.base import Destination
from vault.store.plain import Absent, NotSimple
from vault.store.throttle import GLANCE_SECONDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")

TRIES = 4
BACKOFF_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
PLAIN_SECONDS = 20.0
"""The same for what asks without the library, which asks again."""
SLOWEST_RATE = 32 << 10
"""Bytes a second that a transfer may be as slow as before it counts as hanging."""


class Worth(Exception):  # noqa: N818 (worth another try)
    """Carries a fault that may be gone the next time."""

    def __init__(self, fault: VaultError) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Remote(Destination):
    """A destination that is reached by calls which may hang, fail, or be cut off."""

    READERS = 8
    """So many ask `plainly` at once."""

    def __init__(self, name: str, root: str, limit: int | None = None) -> None:
        """`limit` is the most that is sent, in bytes a second."""
        super().__init__(name, root)
        self._limit = limit
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fs: Any = None
        self._plain: Any = None
        self._simple = True
        self._seats = threading.Semaphore(self.READERS)

    @abstractmethod
    def _connect(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Make a new file system; called in a thread that may block."""

    @abstractmethod
    def _translate(self, action: str, error: Exception) -> VaultError | Worth:
        """Turn a foreign error into ours, wrapped in Worth where another try may help."""

    def _reset(self, broken: Any) -> None:
        """Prepare another try after a fault; most libraries mend their connections themselves.

        Several calls may have failed by one broken file system, and tell of it one by one.
        """

    def call(
        self,
        action: str,
        work: Callable[[Any], Awaitable[Result]],
        size: int = 0,
        tries: int = TRIES,
    ) -> Result:
        """Run `work(fs)` in the loop, with patience for `size` bytes; raises VaultError.

        One with a size can be broken off: it raises what `check` raises.
        """
        check = self.check if size else lambda: None
        left = tries
        while True:
            fs: Any = None
            try:
                fs = self._connected()
                return self._try(fs, work, patience(size), check)
            except VaultError:
                raise
            except Exception as error:  # the border: nothing foreign gets past
                fault = self._translate(action, error)
                if not isinstance(fault, Worth):
                    raise fault from error
                self._reset(fs)
                left -= 2 if isinstance(error, TimeoutError) else 1  # who is silent stays so
                if left <= 0:
                    raise fault.fault from error
                check()
                pause = BACKOFF_SECONDS * 2 ** (tries - left - 1)
                time.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311

    def _open_plain(self) -> Any:
        """Give what asks without the library, for `plainly`; None where there is no such way."""
        return None

    def plainly(self, size: int, ask: Callable[[Any], Result]) -> Result | None:
        """Run `ask(plain)`, which is faster than the library; None when it is not simply answered.

        What refuses once is not asked any more: it would keep each call waiting. That something is
        not there, the library says. Broken off as a `call` is.
        """
        check = self.check if size else lambda: None
        while not self._seats.acquire(timeout=GLANCE_SECONDS):
            check()
        try:
            if not self._simple:
                return None
            return in_thread(lambda: self._attempt(ask), patience(size, PLAIN_SECONDS), check)
        except Absent:
            return None
        except (NotSimple, TimeoutError):
            self._give_up_plain()
            return None
        finally:
            self._seats.release()

    def _attempt(self, ask: Callable[[Any], Result]) -> Result:
        try:
            plain = self._plain
            if plain is None and self._simple:
                with self._lock:
                    self._plain = plain = self._plain or self._open_plain()
            if plain is not None:
                return ask(plain)
        except Absent:
            raise
        except Exception as error:  # whatever it is, the library asks again
            raise NotSimple from error
        raise NotSimple

    def _give_up_plain(self) -> None:
        self._simple = False
        plain, self._plain = self._plain, None
        if plain is not None:
            plain.close()

    def _connected(self) -> Any:
        import uvloop  # here, as asyncio: no run that stays on this machine waits for them

        with self._lock:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()
                # Tasks that the libraries leave behind after a fault of which we were told already.
                self._loop.set_exception_handler(lambda *_: None)
                threading.Thread(target=self._loop.run_forever, daemon=True).start()
            if self._fs is None:
                self._fs = self._connect(self._loop)
            return self._fs

    def _try(
        self,
        fs: Any,
        work: Callable[[Any], Awaitable[Result]],
        seconds: float,
        check: Callable[[], None],
    ) -> Result:
        import asyncio

        async def bounded() -> Result:
            return await asyncio.wait_for(work(fs), seconds)

        assert self._loop
        going = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            while not wait([going], GLANCE_SECONDS).done:
                check()
        except BaseException:
            going.cancel()
            self._reset(fs)  # cleaning up must not wait behind what is on its way
            raise
        return going.result()

    def _away(self, action: str, why: str, hint: str) -> Away:
        return Away(f"destination {self.name} ({self.root}): cannot {action}: {why}", hint)


def patience(size: int, least: float = PATIENCE_SECONDS) -> float:
    """Give the seconds that a call may take which moves so many bytes."""
    return least + size / SLOWEST_RATE


def in_thread(work: Callable[[], Result], seconds: float, check: Callable[[], None]) -> Result:
    """Run what blocks in a thread of its own.

    Nobody waits for it any more once `check` raises, or when it takes too long: TimeoutError.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits raises it)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    until = time.monotonic() + seconds
    while not wait([future], GLANCE_SECONDS).done:
        check()
        if time.monotonic() > until:
            raise TimeoutError
    return future.result()
