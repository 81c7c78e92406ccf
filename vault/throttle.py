"""Leave some of a line or a disk to others."""

from __future__ import annotations

import time


class Throttle:
    """Keeps a transfer below so many bytes a second, on average."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._begun = time.monotonic()
        self._sent = 0

    def wait(self, size: int) -> None:
        """Wait until `size` more bytes may be sent."""
        if self._limit:
            ahead = self._sent / self._limit - (time.monotonic() - self._begun)
            if ahead > 0:
                time.sleep(ahead)
            self._sent += size
