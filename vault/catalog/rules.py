"""Rules of retention: which of some backups are kept, by count, by age and by calendar."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DAY = 86_400
ALL = 1_000_000
"""Number of newest backups to keep that means all of them."""
Count = Annotated[int, Meta(ge=0)]
PERIODS: dict[str, tuple[int, Callable[[date], tuple[int, ...]]]] = {
    "daily": (DAY, lambda day: (day.toordinal(),)),
    "weekly": (7 * DAY, lambda day: day.isocalendar()[:2]),
    "monthly": (31 * DAY, lambda day: (day.year, day.month)),
    "yearly": (366 * DAY, lambda day: (day.year,)),
}
"""Rule -> its longest period in seconds, and the period of a day. Weeks are those of ISO 8601."""


class Rules(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Number of backups that each rule keeps. A backup is kept if any rule keeps it."""

    last: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0
    within: Count = 0
    """Seconds before the newest backup."""
    zone: str | None = None
    """Time zone of the calendar; None for the machine's."""

    def __str__(self) -> str:
        if self == Rules(last=self.last):
            return "all" if self.last >= ALL else str(self.last)
        words = [f"{rule} {count}" for rule in ("last", *PERIODS) if (count := getattr(self, rule))]
        return ", ".join([*words, *([f"within {_duration(self.within)}"] if self.within else [])])


class Candidate(Struct, frozen=True):
    """Backup that the rules may keep."""

    name: str
    """Name of its archive: names sort by age."""
    time: int
    """Seconds since 1970."""
    good: bool = True
    """False if it lacks files: a period rather keeps another one."""


class Hold(Struct, frozen=True):
    """Rule that keeps a backup."""

    rule: str
    seconds: float
    """Time until it no longer does, at most, if backups go on as before."""


def hold(rules: Rules, candidates: Iterable[Candidate]) -> dict[str, tuple[Hold, ...]]:
    """Return name -> the rules that keep it, for each backup that is kept.

    A period keeps its newest good backup or, if it has none, its newest. Only periods that have a
    backup count. The newest backup is always kept.
    """
    ordered = sorted(candidates, key=lambda one: one.name, reverse=True)
    if not ordered:
        return {}
    newest, held = ordered[0], defaultdict[str, list[Hold]](list)
    spacing = _spacing(ordered)
    for rank, one in enumerate(ordered[: rules.last]):
        rule = "all" if rules.last >= ALL else f"last {rules.last}"
        held[one.name].append(Hold(rule, (rules.last - rank) * spacing))
    zone = ZoneInfo(rules.zone) if rules.zone else None
    days = [datetime.fromtimestamp(one.time, zone).date() for one in ordered]
    for rule, (seconds, period) in PERIODS.items():
        best: dict[tuple[int, ...], Candidate] = {}
        for day, one in zip(days, ordered, strict=True) if getattr(rules, rule) else ():
            if not best.setdefault(key := period(day), one).good and one.good:
                best[key] = one
        for left, key in zip(range(getattr(rules, rule), 0, -1), sorted(best)[::-1], strict=False):
            held[best[key].name].append(Hold(rule, left * seconds))
    for one in ordered if rules.within else ():
        if (left := one.time + rules.within - newest.time) >= 0:
            held[one.name].append(Hold(f"within {_duration(rules.within)}", left))
    if newest.name not in held:
        held[newest.name].append(Hold("newest", spacing))
    return {name: tuple(holds) for name, holds in held.items()}


def upcoming(now: float, count: int = 1) -> list[Candidate]:
    """Return backups that are about to be made; their names sort after all others."""
    return [Candidate(f"~{number}", int(now)) for number in range(count)]


def _spacing(ordered: list[Candidate]) -> float:
    """Return the seconds between two backups, as they were lately."""
    lately = ordered[:8]
    return (lately[0].time - lately[-1].time) / max(len(lately) - 1, 1)


def _duration(seconds: int) -> str:
    for unit, length in (("d", DAY), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
