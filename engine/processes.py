"""Work by copies of this process.

Python runs on one core at a time in each process, and many short system calls from two threads of
one cost twice what they cost from one thread (measured).

A copy is made by fork(2), so it knows all that this process knows. Other threads may hold locks at
that moment, which nobody will open in the copy; so its work must take none: it computes and makes
system calls, but uses no connection and no database, and sends no event. What it changes in memory
nobody else sees.
"""

from __future__ import annotations

import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, islice
from multiprocessing import Pipe
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from engine.libc import die_with_parent, give_back_memory
from engine.parallel import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from multiprocessing.connection import Connection

A = TypeVar("A")
B = TypeVar("B")

COPIES = min(os.cpu_count() or 1, 4)
"""One process reads and decrypts for all: more would mostly wait, and each takes its memory."""
READY = 3
"""Items that wait, so that no copy does."""
ENDINGS = (signal.SIGINT, signal.SIGTERM)
"""A terminal and a service manager send them to all processes; they are this one's to answer, and
stay blocked in the copies."""


class CopyDied(Exception):  # noqa: N818 (as the vault's)
    """A copy of this process is gone, and what it was at is not done."""


def in_processes(work: Callable[[A], B], items: Iterable[A]) -> Generator[B]:
    """Give `work(item)` for each item, in order; raises what it raises, and CopyDied.

    Items, results and errors are pickled. When this ends, by whatever, so have the copies. A single
    item is not worth them, and its work is done here.
    """
    items = iter(items)
    first = list(islice(items, 2))
    if len(first) < 2:  # noqa: PLR2004 (one, or none)
        yield from map(work, first)
        return
    copies: SimpleQueue[Connection] = SimpleQueue()

    def hand_over(item: A) -> B:
        copy = copies.get()
        try:
            copy.send(item)
            result, error = copy.recv()
        except (EOFError, OSError):
            raise CopyDied from None
        finally:
            copies.put(copy)
        if error is not None:
            raise error
        done: B = result
        return done

    give_back_memory()  # rather than have the copies keep it
    with ExitStack() as ends, ThreadPoolExecutor(COPIES) as waiting:
        for _ in range(COPIES):
            copies.put(ends.enter_context(_copy(work)))
        with closing(in_order(waiting, hand_over, chain(first, items), COPIES + READY)) as results:
            yield from results


@contextmanager
def _copy(work: Callable[[Any], Any]) -> Iterator[Connection]:
    """Give a connection to a copy of this process, and end it."""
    ours, its = Pipe()
    own = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        copy = os.fork()
        if not copy:
            _serve(work, ours, its, own)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    its.close()
    try:
        yield ours
    finally:
        ours.close()
        with suppress(ChildProcessError):  # who began us ignores SIGCHLD: the kernel has waited
            os.waitpid(copy, 0)


def _serve(work: Callable[[Any], Any], ours: Connection, its: Connection, parent: int) -> None:
    """Be the copy: work until nobody is at the other end any more; never returns."""
    try:
        die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            ours.close()
            gc.freeze()  # what is shared stays so: cycles are looked for among what is new
            with suppress(EOFError, OSError):
                while True:
                    its.send(_answer(work, its.recv()))
    finally:
        os._exit(0)


def _answer(work: Callable[[Any], Any], item: object) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:  # noqa: BLE001 (the other side raises it)
        return None, error
