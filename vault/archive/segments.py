"""Segments of archives for readers in several threads: each is fetched once, some ahead."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vault.archive.shared_cache import SharedCache

if TYPE_CHECKING:
    from collections.abc import Callable

    FetchSegment = Callable[[bool, str, int], bytes]
    """(True for a segment of the index, archive id, frame number) -> plaintext."""

KEPT_BYTES = 96 << 20
AHEAD_MOST = 4
"""Segments that are fetched ahead at the same time."""


class SegmentCache(SharedCache[tuple[bool, str, int], bytes]):
    """Plaintext segments within a bound, for all backups that are open."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__(kept_bytes, len)
        self._threads = ThreadPoolExecutor(AHEAD_MOST)
        self._idle = threading.Semaphore(AHEAD_MOST)
        self._ahead: set[tuple[bool, str, int]] = set()

    def ahead(self, key: tuple[bool, str, int], fetch: FetchSegment) -> None:
        """Begin to fetch a segment that will be read soon, unless enough are under way."""
        if key in self or key in self._ahead or not self._idle.acquire(blocking=False):
            return

        def ended(_: object) -> None:
            self._ahead.discard(key)
            self._idle.release()

        self._ahead.add(key)
        self._threads.submit(self.get, key, lambda: fetch(*key)).add_done_callback(ended)


class Segments:
    """Reader of the segments of one backup, through a cache."""

    def __init__(self, fetch: FetchSegment, cache: SegmentCache) -> None:
        """Read with `fetch`, which several threads call, each for another segment."""
        self._fetch, self._cache = fetch, cache

    def index(self, archive: str, number: int) -> bytes:
        """Return an index segment; raises VaultError."""
        key = True, archive, number
        return self._cache.get(key, lambda: self._fetch(*key))

    def data(self, archive: str, number: int) -> bytes:
        """Return a data segment; raises VaultError."""
        key = False, archive, number
        return self._cache.get(key, lambda: self._fetch(*key))

    def ahead(self, archive: str, number: int) -> None:
        """Begin to fetch a data segment that will be read soon."""
        self._cache.ahead((False, archive, number), self._fetch)
