"""Last known state of a service at a destination, for a status that asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vault.catalog.catalog import backups_of

if TYPE_CHECKING:
    from vault.catalog.catalog import Listed


class Seen(msgspec.Struct, frozen=True):
    """Last known state of a service at one destination."""

    newest: str | None
    """Time of the newest backup."""
    backups: int
    damaged: int
    proven: float | None
    """Time when an archive was last read in full, in seconds since 1970."""
    names: tuple[str, ...] = ()
    """Archives of the backups, oldest first."""


def seen_of(archives: list[Listed], proven: float) -> Seen:
    """Return the state; `proven` is when an archive was last read in full, 0 for never."""
    backups = backups_of(archives)
    newest = backups[-1].summary if backups else None
    damaged = sum(bool(item.problem) for item in archives)
    names = tuple(item.stored.name for item in backups)
    return Seen(newest.time if newest else None, len(backups), damaged, proven or None, names)
