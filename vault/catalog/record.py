"""Record of the archives that each destination was seen to hold: one append-only file a service.

Nothing but alarms is made from it. Losing it loses an alarm, and a damaged line loses one archive.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from vault.catalog.alarm import Alarm  # noqa: TC001 (msgspec resolves it)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIX = ".jsonl"


class Held(msgspec.Struct, frozen=True, tag="held", omit_defaults=True):
    """Archive that a destination has."""

    at: str
    """Name of the destination."""
    root: str
    name: str
    id: str
    host: str
    made: str
    time: float
    """When the listing that shows it was begun, in seconds since 1970."""
    good: bool = True
    """False if it lacks files: see `vault.catalog.rules.Candidate`."""
    inferred: bool = False
    """It was never listed there, but should be."""


class Dropped(msgspec.Struct, frozen=True, tag="dropped"):
    """Archive that a destination need not have any more."""

    at: str
    name: str
    id: str
    why: Literal["pruned", "forgotten", "accepted"]
    time: float


class Raised(msgspec.Struct, frozen=True, tag="alarms"):
    """Alarms of the last look at a destination."""

    at: str
    alarms: tuple[Alarm, ...]
    time: float


_decode = msgspec.json.Decoder(Held | Dropped | Raised).decode
_encode = msgspec.json.Encoder().encode


class State:
    """Combined content of all lines of a record."""

    def __init__(self) -> None:
        self.held: defaultdict[str, dict[str, Held]] = defaultdict(dict)
        """Destination -> name -> archive that it should have."""
        self.dropped: dict[tuple[str, str], Dropped] = {}
        """(destination, name) -> archive that it need not have."""
        self.alarms: dict[str, tuple[Alarm, ...]] = {}
        """Destination -> alarms of the last look at it."""

    def add(self, event: Held | Dropped | Raised) -> None:
        """Take the next line into account."""
        if isinstance(event, Raised):
            self.alarms[event.at] = event.alarms
            return
        place = event.at, event.name
        if isinstance(event, Dropped):
            self.held[event.at].pop(event.name, None)
            self.dropped[place] = event
        # A listing that was begun before the deletion may be recorded after it.
        elif place not in self.dropped or self.dropped[place].time < event.time:
            self.held[event.at][event.name] = event
            self.dropped.pop(place, None)


class Record:
    """Records of all services, in one folder. Without `folder`, or `aside`, nothing is written."""

    def __init__(self, folder: str | None = None, *, aside: bool = False) -> None:
        self._folder, self._aside = folder, aside
        self._raised: dict[tuple[str, str], tuple[Alarm, ...]] = {}

    def state(self, service: str) -> State:
        """Return what is recorded of a service; lines that do not parse are skipped."""
        state, data = State(), b""
        with suppress(OSError):
            if self._folder:
                with open(self._path(service), "rb") as file:
                    data = file.read()
        for line in data.splitlines():
            with suppress(msgspec.MsgspecError):
                state.add(_decode(line))
        return state

    def add(self, service: str, events: Sequence[Held | Dropped | Raised]) -> None:
        """Append events, if that is possible."""
        if not events or self._aside or not self._folder:
            return
        # Each line begins with its line break: one that a crash cut short spoils no other.
        data = b"".join(b"\n" + _encode(event) for event in events)
        with suppress(OSError):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            fd = os.open(self._path(service), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(fd, "wb", buffering=0) as file:
                file.write(data)

    def drop(
        self,
        service: str,
        at: str,
        archives: Iterable[tuple[str, str]],
        why: Literal["pruned", "forgotten", "accepted"],
    ) -> None:
        """Record that a destination need not have some archives, each a (name, id)."""
        archives = list(archives)
        held, now = self.state(service).held[at] if archives else {}, time.time()
        self.add(
            service,
            [
                # Never before the time at which it was seen: the clock may have been ahead.
                Dropped(at, name, id_, why, max(now, held[name].time if name in held else 0.0))
                for name, id_ in archives
            ],
        )

    def services(self) -> set[str]:
        """Return the services that have a record."""
        with suppress(OSError):
            return {file.removesuffix(SUFFIX) for file in os.listdir(self._folder or "")}
        return set()

    def drop_all(self, service: str, at: str) -> None:
        """Record that a destination need not have anything: somebody accepted that it is empty."""
        held = self.state(service).held[at].values()
        self.drop(service, at, [(one.name, one.id) for one in held], "accepted")

    def pruned(self, service: str) -> dict[str, float]:
        """Return archive id -> when retention deleted it, at any destination."""
        dropped = self.state(service).dropped.values()
        return {one.id: one.time for one in dropped if one.why == "pruned"}

    def raise_alarms(
        self, service: str, at: str, alarms: Sequence[Alarm], before: tuple[Alarm, ...] | None
    ) -> None:
        """Record the alarms of a look at a destination, if it is the first one or they changed."""
        found = tuple(alarms)
        self._raised[service, at] = found
        if found != before:
            self.add(service, [Raised(at, found, time.time())])

    def alarms(self, service: str) -> dict[str, tuple[Alarm, ...]]:
        """Return destination -> alarms of the last look at it."""
        return self.state(service).alarms | {
            at: found for (name, at), found in self._raised.items() if name == service
        }

    def _path(self, service: str) -> str:
        return os.path.join(self._folder or "", service + SUFFIX)
