"""Leave some of a line or a disk to others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GLANCE_SECONDS = 0.25
"""How often who waits looks whether that is still wanted."""


class Throttle:
    """Keeps a transfer below so many bytes a second, on average."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._begun = time.monotonic()
        self._sent = 0

    def wait(self, size: int, check: Callable[[], None]) -> None:
        """Wait until `size` more bytes may be sent; `check` may raise to end the wait."""
        if self._limit:
            while (ahead := self._sent / self._limit - (time.monotonic() - self._begun)) > 0:
                check()
                time.sleep(min(ahead, GLANCE_SECONDS))
            self._sent += size
