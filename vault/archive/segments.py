"""Cache of segments for readers in several threads; each segment is fetched once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Key = tuple[bool, str, int]
    """(True for a segment of the index, archive id, frame number)."""
    FetchSegment = Callable[[bool, str, int], bytes]

KEPT_BYTES = 96 << 20
THREADS = 4
AHEAD_MOST = 4
"""Segments that are fetched ahead at the same time."""


class SegmentCache:
    """Plaintext segments within a bound, for all backups that are open."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._most = kept_bytes
        self._kept: OrderedDict[Key, Future[bytes]] = OrderedDict()
        self._bytes = 0
        self._underway = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS)

    def get(self, key: Key, fetch: FetchSegment) -> bytes:
        """Return a segment, which only the first of several threads fetches; raises VaultError."""
        with self._lock:
            future = self._kept.get(key)
            if mine := future is None:
                future = self._kept[key] = Future()
            else:
                self._kept.move_to_end(key)
        assert future
        if mine:
            self._fetch(key, fetch, future)
        return future.result()

    def ahead(self, key: Key, fetch: FetchSegment) -> None:
        """Begin to fetch a segment that will be read soon, unless enough are under way."""
        with self._lock:
            if key in self._kept or self._underway >= AHEAD_MOST:
                return
            self._underway += 1
            future = self._kept[key] = Future()
        self._threads.submit(self._work, key, fetch, future)

    def _work(self, key: Key, fetch: FetchSegment, future: Future[bytes]) -> None:
        try:
            self._fetch(key, fetch, future)
        finally:
            with self._lock:
                self._underway -= 1

    def _fetch(self, key: Key, fetch: FetchSegment, future: Future[bytes]) -> None:
        try:
            segment = fetch(*key)
        except BaseException as error:  # noqa: BLE001 (raised where the result is read)
            with self._lock:  # the next reader tries again
                self._kept.pop(key, None)
            future.set_exception(error)
            return
        future.set_result(segment)
        with self._lock:
            self._bytes += len(segment)
            for other in [*self._kept] if self._bytes > self._most else ():
                if other != key and self._kept[other].done():
                    self._bytes -= len(self._kept.pop(other).result())
                if self._bytes <= self._most:
                    break


class Segments:
    """Reader of the segments of one backup, through a cache."""

    def __init__(self, fetch: FetchSegment, cache: SegmentCache) -> None:
        """Read with `fetch`, which several threads call, each for another segment."""
        self._fetch, self._cache = fetch, cache

    def index(self, archive: str, number: int) -> bytes:
        """Return an index segment; raises VaultError."""
        return self._cache.get((True, archive, number), self._fetch)

    def data(self, archive: str, number: int) -> bytes:
        """Return a data segment; raises VaultError."""
        return self._cache.get((False, archive, number), self._fetch)

    def ahead(self, archive: str, number: int) -> None:
        """Begin to fetch a data segment that will be read soon."""
        self._cache.ahead((False, archive, number), self._fetch)
