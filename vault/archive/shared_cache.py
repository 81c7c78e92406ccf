"""Cache for readers in several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")


class SharedCache(Generic[K, V]):
    """Values within a bound, the last used ones. Several threads that need one make it once."""

    def __init__(self, most: int, weigh: Callable[[V], int]) -> None:
        """Keep values whose weights are `most` in sum, and always the newest one."""
        self._most, self._weigh = most, weigh
        self._kept: OrderedDict[K, Future[V]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def __contains__(self, key: K) -> bool:
        """Return whether a value is kept, or being made."""
        return key in self._kept

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return a value, made if necessary; raises what `make` raises, and then keeps nothing."""
        with self._lock:
            future = self._kept.get(key)
            if mine := future is None:
                future = self._kept[key] = Future()
            self._kept.move_to_end(key)
        assert future
        if mine:
            self._make(key, make, future)
        return future.result()

    def _make(self, key: K, make: Callable[[], V], future: Future[V]) -> None:
        try:
            value = make()
        except BaseException as error:  # noqa: BLE001 (raised where the result is read)
            with self._lock:  # the next reader tries again
                self._kept.pop(key, None)
            future.set_exception(error)
            return
        future.set_result(value)
        with self._lock:
            self._weight += self._weigh(value)
            for other in [*self._kept] if self._weight > self._most else ():
                if other != key and self._kept[other].done():
                    self._weight -= self._weigh(self._kept.pop(other).result())
                if self._weight <= self._most:
                    break
