"""Transfer of the parts of one file to a store, several at once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

Check = Callable[[], None]
"""Function that is called while a call waits; it may raise to cancel the call."""

UNDER_WAY = 3
"""Parts that a store may have taken at once, so that the line is never idle between parts."""


def never() -> None:
    """Do nothing: a `check` that never cancels."""


class Part(Struct, frozen=True, gc=False):
    """Stretch of the bytes of one archive, and how to get them."""

    offset: int
    length: int
    read: Callable[[], bytes]
    """Return its bytes; raises VaultError or OSError."""
    link: Callable[[str], bool] = lambda _: False
    """Hard-link the growing file that holds the archive to a path; False if that is impossible."""


def in_memory(data: bytes, offset: int = 0) -> Part:
    """Return bytes as a part."""
    return Part(offset, len(data), lambda: data)


class Upload(ABC):
    """File that is being written to a store under its unfinished name."""

    at_once = 1
    """Parts that are sent at the same time."""

    def part_size(self, number: int) -> int:
        """Return the least size of a part; smaller ones are joined. The last may be smaller."""
        del number
        return 0

    def room(self, length: int) -> int:
        """Return how many parts of `length` bytes may be under way at once."""
        del length
        return self.at_once

    @abstractmethod
    def put(self, number: int, part: Part, check: Check) -> None:
        """Write one part at its offset. `number` counts from 1."""

    @abstractmethod
    def finish(self, check: Check) -> None:
        """Flush everything that was written to stable storage."""

    def abandon(self) -> None:  # noqa: B027 (most have nothing to release)
        """Release open resources; nothing more is written. `Store.discard` deletes the file."""


class Abandoned(VaultError):  # noqa: N818
    """Error of a part whose upload has already failed."""


def send(begin: Callable[[], Upload], parts: Iterable[Part], check: Check) -> Iterator[int]:
    """Write all parts; yield the number of bytes that are written without a gap.

    `begin` is called once the first part has arrived. A file without parts gets an empty one.
    """
    stopped = threading.Event()

    def go_on() -> None:
        if stopped.is_set():
            raise Abandoned("the upload has failed")
        check()

    def put(number: int, part: Part) -> int:
        upload.put(number, part, go_on)
        return part.offset + part.length

    coming = iter(parts)
    first = list(islice(coming, 1)) or [in_memory(b"")]
    upload = begin()
    under_way: deque[Future[int]] = deque()
    threads = ThreadPoolExecutor(upload.at_once)
    try:
        for number, part in enumerate(join(chain(first, coming), upload.part_size), 1):
            while len(under_way) >= max(upload.room(part.length), 1):
                yield under_way.popleft().result()
            under_way.append(threads.submit(put, number, part))
            while under_way and under_way[0].done():
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
        upload.finish(check)
    except BaseException:
        stopped.set()
        threads.shutdown(cancel_futures=True)
        upload.abandon()
        raise
    threads.shutdown()


def join(parts: Iterable[Part], size: Callable[[int], int]) -> Iterator[Part]:
    """Join consecutive parts until each has at least `size(number)` bytes, except the last."""
    number, waiting, length = 1, list[Part](), 0
    for part in parts:
        waiting.append(part)
        length += part.length
        if length >= size(number):
            yield _joined(waiting)
            number, waiting, length = number + 1, [], 0
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Part]) -> Part:
    """Return consecutive parts as one."""
    first, length = parts[0], sum(part.length for part in parts)
    return Part(first.offset, length, lambda: b"".join(p.read() for p in parts), first.link)
