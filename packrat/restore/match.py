"""Match of what a person writes for a backup: a name, an id, a time, or `latest`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from packrat.restore.when import period_of
from packrat.text.report import time_text
from vault.archive.format import ArchiveName
from vault.errors import NotThere

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vault.catalog.catalog import Catalog

SHORT, WHOLE = 8, 32
"""Hexadecimal digits of an archive's id, in names and as a whole."""
SHOWN = 12
"""Candidates that the message about an ambiguous text lists."""
_LATEST = re.compile(r"latest(?:~(\d{1,6}))?", re.IGNORECASE)


def steps_back(wanted: str) -> int | None:
    """Return 0 for `latest`, 2 for `latest~2`, None for anything else."""
    latest = _LATEST.fullmatch(wanted)
    return int(latest[1] or 0) if latest else None


def made_times(catalogs: Iterable[Catalog]) -> dict[str, str]:
    """Return name of an archive -> the time at which it was made, where that is known."""
    listed = (one for catalog in catalogs for one in catalog.listed)
    return {one.stored.name: one.summary.made for one in listed if one.summary}


def match(names: Iterable[str], service: str, wanted: str, made: Mapping[str, str]) -> str | None:
    """Return the archive that matches a name, a time, or a prefix of an id, None if there is none.

    `made` are their times, if they differ from those in the names. Raises NotThere with the
    candidates if several match.
    """
    found = _matching(names, wanted, made)
    if len(found) <= 1:
        return found[0] if found else None
    left = len(found) - SHOWN
    lines = [f"  {described(name, made)}" for name in found[: -SHOWN - 1 : -1]]
    lines += [f"  and {left:,} older ones"] * (left > 0)
    raise NotThere(
        f"{len(found)} backups of {service} match {wanted!r}; pass one of these ids:\n"
        + "\n".join(lines)
    )


def _matching(names: Iterable[str], wanted: str, made: Mapping[str, str]) -> list[str]:
    parsed = [(name, parts) for name in names if (parts := ArchiveName.parse(name))]
    if wanted in [name for name, _ in parsed]:
        return [wanted]
    times = {name: made.get(name, parts.time) for name, parts in parsed}
    period = period_of(wanted, _now())
    of_time = [
        name
        for name, parts in parsed
        if wanted.upper() in (parts.time, times[name])
        or (period and period.contains(datetime.fromisoformat(times[name])))
    ]
    # A pipeline document has the whole id; a name has only its first digits.
    id_ = (wanted[:SHORT] if len(wanted) == WHOLE else wanted).lower()
    return of_time or [name for name, parts in parsed if id_ and parts.short.startswith(id_)]


def newest_before(names: Iterable[str], wanted: str, made: Mapping[str, str]) -> str | None:
    """Return the newest archive at or before a time; None if there is none, or it is no time."""
    period = period_of(wanted, _now())
    earlier = [
        (time, name)
        for name in names
        if (parts := ArchiveName.parse(name)) and period
        if datetime.fromisoformat(time := made.get(name, parts.time)) <= period.begin
    ]
    return max(earlier)[1] if earlier else None


def described(name: str, made: Mapping[str, str]) -> str:
    """Return the id and the time of an archive."""
    parts = ArchiveName.parse(name)
    return f"{parts.short}  {time_text(made.get(name, parts.time))}" if parts else name


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
