"""Heavy work on a thread pool, in order and bounded."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Executor, Future

A = TypeVar("A")
B = TypeVar("B")

AHEAD = (os.cpu_count() or 1) + 1
"""Tasks in flight: enough to keep every core busy, few enough to keep memory use small."""
BACKLOG = AHEAD + 6
"""Tasks in flight where items arrive, or are consumed, unevenly, as files are."""


def in_order(
    pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int
) -> Generator[B]:
    """Yield `work(item)` for each item, in order, with at most `ahead` of them in flight.

    When this ends, through an error or by being closed, no task is in flight any more.
    """
    queue: deque[Future[B]] = deque()
    try:
        for item in items:
            queue.append(pool.submit(work, item))
            # Pass on what is ready at once: an item must not wait for the next one to be read.
            while queue and (len(queue) >= ahead or queue[0].done()):
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        wait([future for future in queue if not future.cancel()])
