"""Heavy work on a thread pool, in order and bounded."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Executor, Future

A = TypeVar("A")
B = TypeVar("B")

AHEAD = (os.cpu_count() or 1) + 1
"""Tasks under way at once: enough to keep each core busy, few enough to keep memory small."""
BACKLOG = AHEAD + 6
"""The same where items come, or are made use of, unevenly: files are."""
M_ARENA_MAX = -8
"""Of mallopt(3)."""


def thread_pool() -> ThreadPoolExecutor:
    """Make a pool with a thread for each core, and let all threads of this process share one heap.

    With a heap for each, as glibc has it, the buffers that pass from thread to thread take a fifth
    more memory, and restoring takes a twentieth more time (measured).
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    return ThreadPoolExecutor(os.cpu_count())


def give_back_memory() -> None:
    """Let the C library give back what it keeps for later, such as the buffers of an index."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def in_order(
    pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int
) -> Generator[B]:
    """Give `work(item)` for each item, in order, with at most `ahead` of them under way.

    None is under way any more when this ends, be it by an error or by being closed.
    """
    queue: deque[Future[B]] = deque()
    try:
        for item in items:
            queue.append(pool.submit(work, item))
            # What is ready goes on at once: an item must not wait for the next one to be read.
            while queue and (len(queue) >= ahead or queue[0].done()):
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        wait([future for future in queue if not future.cancel()])
