"""Store with a limited write rate."""

from __future__ import annotations

import threading
import time

from msgspec.structs import replace

from vault.store.base import Check, Part, Store, Upload, never
from vault.store.retrying import wait
from vault.store.wrapper import UploadWrapper, Wrapper


class Throttled(Wrapper):
    """Store that reads parts at `limit` bytes a second at most; a linked part costs nothing."""

    def __init__(self, store: Store, limit: int) -> None:
        super().__init__(store)
        self._limit = limit

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file."""
        return _Upload(super().upload(service, name, check), Rate(self._limit))


class _Upload(UploadWrapper):
    """Upload that reads each part when its turn has come."""

    def __init__(self, upload: Upload, rate: Rate) -> None:
        super().__init__(upload)
        self._rate = rate

    def put(self, number: int, part: Part, check: Check) -> None:
        def read() -> bytes:
            self._rate.take(part.length, check)
            return part.read()

        self.inner.put(number, replace(part, read=read), check)


class Rate:
    """Turns for several threads that share a rate in bytes per second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._free = time.monotonic()
        """Time at which all turns taken so far are over."""

    def take(self, size: int, check: Check) -> None:
        """Wait for as long as sending `size` bytes may take."""
        with self._lock:
            self._free = end = max(self._free, time.monotonic()) + size / self._limit
        wait(end - time.monotonic(), check)
