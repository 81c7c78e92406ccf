"""Store that retries failed calls."""

from __future__ import annotations

import random
import time
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from vault.errors import NotThere, Retryable
from vault.store.base import Check, Part, Upload, never
from vault.store.calls import GLANCE_SECONDS
from vault.store.wrapper import UploadWrapper, Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

TRIES = 4
BACKOFF_SECONDS = 1.0


class Retrying(Wrapper):
    """Store that retries each call that fails with Retryable, with growing pauses.

    An upload is retried part by part: what has arrived is not sent again.
    """

    def run(self, work: Callable[[], Result], check: Check) -> Result:
        """Do one call; raises the last error if it fails too often."""
        return again(work, check)

    def delete(self, service: str, name: str, check: Check = never) -> None:
        """Delete one file; a retry accepts that it is gone, since an answer may have been lost."""
        failed = False

        def work() -> None:
            nonlocal failed
            try:
                self.store.delete(service, name, check)
            except Retryable:
                failed = True
                raise
            except NotThere:
                if not failed:
                    raise

        again(work, check)

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file."""
        return _Upload(super().upload(service, name, check))


class _Upload(UploadWrapper):
    """Upload whose parts are retried; each is read once."""

    def put(self, number: int, part: Part, check: Check) -> None:
        once = replace(part, read=cache(part.read))
        again(lambda: self.inner.put(number, once, check), check)

    def finish(self, check: Check) -> None:
        again(lambda: self.inner.finish(check), check)


def again(work: Callable[[], Result], check: Check) -> Result:
    """Run `work` and retry on Retryable: TRIES attempts, half as many if it was silent."""
    left, pause = TRIES, BACKOFF_SECONDS
    while True:
        try:
            return work()
        except Retryable as error:
            left -= 2 if error.silent else 1
            if left <= 0:
                raise
        wait(pause * (0.5 + random.random() / 2), check)  # noqa: S311 (spreads attempts)
        pause *= 2


def wait(seconds: float, check: Check) -> None:
    """Sleep, unless `check` raises."""
    until = time.monotonic() + seconds
    check()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, GLANCE_SECONDS))
        check()
