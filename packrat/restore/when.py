"""Times as people write them: `yesterday`, `2 days ago`, a date, a time of day."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta

from msgspec import Struct

_AGO = re.compile(r"(\d{1,4}|an?) (minute|hour|day|week|month|year)s? ago")
_WEEKDAYS = [name.lower() for name in calendar.day_name]
_MONTH = re.compile(r"(\d{4})-(\d\d)")
_DAY_AND_CLOCK = re.compile(
    rf"(?P<word>today|yesterday|{'|'.join(_WEEKDAYS)}|)"
    r"(?:(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)|(?P<D>\d{1,2})\.(?P<M>\d{1,2})\.(?P<Y>\d{4})"
    r"|(?P<compact>\d{8})|)"
    r"(?:[ t]*(?P<hour>\d{1,2})(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d))?)?)?"
)


class Period(Struct, frozen=True):
    """Times from `begin` to before `end`; an instant if both are the same."""

    begin: datetime
    end: datetime

    def contains(self, moment: datetime) -> bool:
        """Return whether a time is in the period."""
        return self.begin <= moment < self.end


def period_of(text: str, now: datetime) -> Period | None:
    """Return what a text means in the local time zone, None if it is not a time.

    `before X` is the instant before X begins. A time of day without a day is the last one, and a
    weekday is the last one before today.
    """
    text = " ".join(text.lower().split())
    if text.startswith("before "):
        period = period_of(text.removeprefix("before "), now)
        begin = period and period.begin - timedelta(microseconds=1)
        return Period(begin, begin) if begin else None
    try:
        return _ago(text, now) or _month(text) or _day_and_clock(text, now.replace(tzinfo=None))
    except (ValueError, OverflowError):
        return None  # for example a month 13


def _ago(text: str, now: datetime) -> Period | None:
    if not (match := _AGO.fullmatch(text)):
        return None
    count, unit = 1 if match[1].startswith("a") else int(match[1]), match[2]
    if unit in ("minute", "hour"):
        then = now - timedelta(**{f"{unit}s": count})
        return Period(then, then)
    now = now.replace(tzinfo=None)  # a day ago is the same time of day, also before a clock change
    if unit in ("month", "year"):
        months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
        year, month = months // 12, months % 12 + 1
        day = min(now.day, calendar.monthrange(year, month)[1])
        then = now.replace(year=year, month=month, day=day)
    else:
        then = now - timedelta(**{f"{unit}s": count})
    return Period(then.astimezone(), then.astimezone())


def _month(text: str) -> Period | None:
    if not (match := _MONTH.fullmatch(text)):
        return None
    year, month = int(match[1]), int(match[2])
    begin = datetime(year, month, 1)  # noqa: DTZ001 (made local below)
    days = calendar.monthrange(year, month)[1]
    return Period(begin.astimezone(), (begin + timedelta(days=days)).astimezone())


def _day_and_clock(text: str, now: datetime) -> Period | None:
    match = _DAY_AND_CLOCK.fullmatch(text)
    dated = match and next(filter(None, match.group("y", "D", "compact")), None)
    if not match or bool(match["word"] and dated):
        return None
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if match["compact"]:
        day = datetime.fromisoformat(match["compact"])
    elif dated:
        parts = match.group("y", "m", "d") if match["y"] else match.group("Y", "M", "D")
        day = datetime.fromisoformat("{}-{:0>2}-{:0>2}".format(*parts))
    elif match["word"] == "yesterday":
        day -= timedelta(days=1)
    elif match["word"] in _WEEKDAYS:
        day -= timedelta(days=(day.weekday() - _WEEKDAYS.index(match["word"])) % 7 or 7)
    elif not match["word"] and ":" not in text:
        return None  # a bare number is an id
    clock = [part for part in match.group("hour", "minute", "second") if part]
    time = "{:0>2}:{}:{}".format(*[*clock, "00", "00", "00"][:3])
    begin = datetime.fromisoformat(f"{day:%Y-%m-%d} {time}")
    if not dated and not match["word"] and begin > now:
        begin -= timedelta(days=1)
    length = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))
    return Period(begin.astimezone(), (begin + length[len(clock)]).astimezone())
