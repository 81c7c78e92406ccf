"""What asks a server without the library, which is slower: for reading, in one way only.

What it cannot do, or what is not simply answered, the library asks again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

Connection = TypeVar("Connection")
Result = TypeVar("Result")


class NotSimple(Exception):  # noqa: N818 (no fault: the library asks again)
    """An answer is not simply what was asked for."""


class Absent(NotSimple):
    """It is that there is no such thing; the library says so."""


class Connections(Generic[Connection]):
    """Connections to one server, each for one thread at a time; what is at rest is used again."""

    def __init__(self, begin: Callable[[], Connection]) -> None:
        """`begin` makes one, and does not wait."""
        self._begin = begin
        self._idle: list[Connection] = []
        self._all: WeakSet[Connection] = WeakSet()
        self._lock = threading.Lock()

    def expect(self) -> None:
        """Begin one; whoever asks first waits for it."""
        self._idle.append(self._new())

    def ask(self, work: Callable[[Connection], Result]) -> Result:
        """Give what `work` gives over the connection that was used last, or a new one.

        One that rested may have been ended by the server: then over another. Whatever `work`
        raises but Absent, its connection is not used again.
        """
        while True:
            try:
                connection, rested = self._idle.pop(), True
            except IndexError:
                connection, rested = self._new(), False
            try:
                found = work(connection)
            except Absent:
                self._idle.append(connection)
                raise
            except ConnectionError:
                if not rested:
                    raise
            else:
                self._idle.append(connection)
                return found

    def at_rest(self) -> list[Connection]:
        """Give those that nobody uses."""
        return list(self._idle)

    def all(self) -> list[Connection]:
        """Give also those in use."""
        with self._lock:
            return list(self._all)

    def _new(self) -> Connection:
        connection = self._begin()
        with self._lock:
            self._all.add(connection)
        return connection
