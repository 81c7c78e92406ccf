"""Schedules by cron(8)'s rules, in time zones with daylight saving time.

A schedule with a fixed hour is due exactly once for each local time that it names: at the change
if the clock skips that time, and only the first time if the clock shows it twice. A schedule whose
hour begins with `*` is due whenever the clock shows it, so at each real interval. If both a day
and a weekday are given, one of them must match, or both if one begins with `*`.

Nothing here reads a clock: instants are seconds since 1970, and the caller passes the current one.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
DAY = 86_400.0
YEAR = 366 * DAY
LEAST_DAYS = 3
"""Matching days between which a gap is measured, at least; 29 February has two in eight years."""
LONGEST_CHANGE = 25 * 3600.0
"""Longest change of a zone's offset: Samoa once skipped a whole day."""
CORRECTION = 25 * 3600.0
"""A clock that is set back further was wrong before, and is followed from then on."""
REMEMBERED = 500
"""Instants of past runs that a timetable keeps."""


def zone_of(name: str | None) -> tzinfo:
    """Return the zone of that name; for None the machine's: $TZ, /etc/localtime, or UTC."""
    if name:
        return ZoneInfo(name)
    try:
        if local := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(local)
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, LookupError, ValueError):
        return UTC


class Schedule(Struct, frozen=True):
    """Five cron fields, or a word such as @daily, in a zone."""

    text: str
    zone: tzinfo

    @property
    def fields(self) -> str:
        """The five fields."""
        return WORDS.get(self.text, self.text)

    @property
    def fixed(self) -> bool:
        """True if it names hours, instead of every hour or every n-th."""
        return not self.fields.split()[1].startswith("*")

    def after(self, moment: float) -> float:
        """Return the first instant after a moment."""
        return self._fixed_after(moment) if self.fixed else self._wildcard_after(moment)

    def latest(self, since: float, upto: float) -> float | None:
        """Return the last instant after `since` and not after `upto`, or None."""
        for back in (3600.0, DAY, 31 * DAY, float("inf")):
            found = None
            coming = self.after(max(since, upto - back))
            while coming <= upto:
                found, coming = coming, self.after(coming)
            if found is not None or upto - back <= since:
                return found
        return None

    @property
    def longest_gap(self) -> float:
        """The longest time between two instants, in seconds, without changes of the clock."""
        return _longest_gap(self.fields)

    def _fixed_after(self, moment: float) -> float:
        begin = _wall(moment, self.zone)
        if _offset(moment, self.zone) != _offset(moment - LONGEST_CHANGE, self.zone):
            begin -= timedelta(seconds=LONGEST_CHANGE)  # a skipped time is due at the change
        while True:
            begin = self._next_wall(begin)
            instant = _first_instant(begin, self.zone)
            if instant > moment:
                return instant

    def _wildcard_after(self, moment: float) -> float:
        while True:
            offset = _offset(moment, self.zone)
            instant = _seconds(self._next_wall(_wall(moment, self.zone)), offset)
            if _offset(instant, self.zone) == offset:
                return instant
            change = _change(moment, instant, self.zone)
            if instant < change:
                return instant
            # From just before the change, with the offset that is valid after it.
            wall = _wall(change, self.zone) - timedelta(seconds=1)
            first = _seconds(self._next_wall(wall), _offset(change, self.zone))
            if _offset(first, self.zone) == _offset(change, self.zone):
                return first
            moment = change

    def _next_wall(self, wall: datetime) -> datetime:
        """Return the next local time that matches."""
        found: datetime = _croniter(self.fields).get_next(datetime, start_time=wall)
        return found


@dataclass
class Timetable:
    """Due instants of one schedule: missed ones run once, and no instant runs twice."""

    schedule: Schedule
    mark: float
    """Everything up to this instant has been handled."""
    ran: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Instants that were run: they are not due again if the clock is set back."""

    def next(self, now: float) -> float:
        """Return the instant that is due or comes next; a clock set far back is followed."""
        self.mark = min(self.mark, now) if self.mark > now + CORRECTION else self.mark
        while (instant := self.schedule.after(self.mark)) in self.ran:
            self.mark = instant
        return instant

    def due(self, now: float) -> float | None:
        """Return the newest due instant, which covers all missed ones before it, or None."""
        first = self.next(now)
        if first > now:
            return None
        newest = self.schedule.latest(first, now)
        return first if newest is None or newest in self.ran else newest

    def done(self, instant: float) -> None:
        """Mark an instant, and all before it, as handled."""
        self.ran.append(instant)
        self.mark = max(self.mark, instant)

    def drop(self, now: float) -> None:
        """Mark all instants up to now as handled without a run."""
        self.mark = max(self.mark, now)


@lru_cache(maxsize=4096)
def _longest_gap(fields: str) -> float:
    """Return the longest gap: within a day, or from one day that matches to the next."""
    from croniter import croniter

    minutes, hours, *_ = croniter.expand(fields)[0]
    times = sorted(
        60.0 * (60 * hour + minute)
        for hour in (range(24) if "*" in hours else hours)
        for minute in (range(60) if "*" in minutes else minutes)
    )
    days = _croniter(" ".join(["0", "0", *fields.split()[2:]]))
    days.set_current(0.0)
    matching = [days.get_next(float)]
    while len(matching) < LEAST_DAYS or matching[-1] - matching[0] < YEAR:
        matching.append(days.get_next(float))
    apart = max(after - before for before, after in pairwise(matching))
    within = max((after - before for before, after in pairwise(times)), default=0.0)
    return float(max(within, apart - (times[-1] - times[0])))


@lru_cache(maxsize=4096)
def _croniter(fields: str) -> Any:
    """Return croniter's iterator over a schedule, cached because parsing is slow."""
    from croniter import croniter

    return croniter(fields, 0.0, implement_cron_bug=True)


def _offset(moment: float, zone: tzinfo) -> timedelta:
    """Return the zone's offset from UTC at a moment."""
    found = datetime.fromtimestamp(moment, zone).utcoffset()
    assert found is not None
    return found


def _wall(moment: float, zone: tzinfo) -> datetime:
    """Return the local time at a moment, marked as UTC so that arithmetic does not shift it."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=UTC)


def _seconds(wall: datetime, offset: timedelta) -> float:
    return (wall - offset).timestamp()


def _first_instant(wall: datetime, zone: tzinfo) -> float:
    """Return the instant at which a clock first shows this time, or has just skipped it."""
    earlier, later = (
        wall.replace(tzinfo=zone, fold=fold).astimezone(UTC).timestamp() for fold in (0, 1)
    )
    # In a gap, the offset before it (fold 0) yields the later instant.
    return earlier if earlier <= later else _change(later, earlier, zone)


def _change(low: float, high: float, zone: tzinfo) -> float:
    """Return the first second at which the offset differs from that at `low`."""
    offset = _offset(low, zone)
    # Two changes may lie between: begin with the first day on which one is seen.
    days = [low + DAY * n for n in range(int((high - low) // DAY) + 1)] + [high]
    low, high = next(((a, b) for a, b in pairwise(days) if _offset(b, zone) != offset), (low, high))
    first, last = int(low), int(high)
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (middle, last) if _offset(middle, zone) == offset else (first, middle)
    return float(last)
