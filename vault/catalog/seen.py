"""Last known state of each service at each destination, from the cache alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from vault.archive.format import decode_summary
from vault.catalog.catalog import Listed, backups_of
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault.catalog.sqlite_file import SqliteFile


class Seen(msgspec.Struct, frozen=True):
    """Last known state of a service at one destination."""

    newest: str | None
    """Time of the newest backup."""
    backups: int
    damaged: int
    stored: int
    """Bytes of all archives."""
    proven: float | None
    """Time when an archive was last found good in full, in seconds since 1970."""
    names: tuple[str, ...] = ()
    """Archives of the backups, oldest first."""


def remembered(file: SqliteFile, roots: Mapping[str, str | None]) -> dict[str, dict[str, Seen]]:
    """Return service -> destination -> its last known state.

    `roots` are the roots of the destinations, as far as they are known. What is remembered of an
    earlier root is left out; without a root, the location with the newest backup counts.
    """
    found: dict[tuple[str, str], list[Listed]] = {}
    proven: dict[tuple[str, str], float] = {}
    rows = file.ask(
        tuple[str, str, str, int, bytes, float | None, str | None],
        "SELECT a.service, a.destination, a.name, a.size, summary, time, problem"
        " FROM archives a LEFT JOIN proofs p ON (p.destination, p.service, p.name, p.size)"
        " = (a.destination, a.service, a.name, a.size) ORDER BY a.name",
    )
    for service, location, name, size, summary, at, problem in rows:
        with suppress(msgspec.MsgspecError):
            known = decode_summary(summary)
            here = (service, location)
            found.setdefault(here, []).append(Listed(Stored(name, size), known, problem or ""))
            proven[here] = max(proven.get(here, 0.0), 0.0 if problem else at or 0.0)
    # Also of archives that were pruned since.
    statement = "SELECT service, destination, time FROM verified"
    for service, location, at in file.ask(tuple[str, str, float], statement):
        proven[service, location] = max(proven.get((service, location), 0.0), at)
    seen: dict[str, dict[str, Seen]] = {}
    for (service, location), archives in found.items():
        name, _, root = location.partition("=")
        known_at = seen.setdefault(service, {})
        one = _seen(archives, proven[service, location])
        newer = name not in known_at or (one.newest or "") > (known_at[name].newest or "")
        if newer and roots.get(name) in (None, root):
            known_at[name] = one
    return seen


def _seen(archives: list[Listed], proven: float) -> Seen:
    backups = backups_of(archives)
    newest = backups[-1].summary if backups else None
    damaged = sum(bool(item.problem) for item in archives)
    stored = sum(item.stored.size for item in archives)
    names = tuple(item.name for item in backups)
    newest_at, at = newest.time if newest else None, proven or None
    return Seen(newest_at, len(backups), damaged, stored, at, names)
