"""Retention: which archives each destination keeps, and the reason for each.

Only backups of this host count: those of another host, or of anyone who controls the destination,
must not displace this host's own backups.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.catalog.catalog import missing, whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog, Held

WORTH_KEEPING = 0.6
"""If less than this share of an old archive is referred to, its data is stored again."""


class Reason(StrEnum):
    """Reason why an archive is kept or deleted."""

    RETAINED = "retained"
    """One of the newest backups, as many as are to be kept."""
    NEEDED = "needed"
    """An archive that is kept refers to it."""
    OWED = "owed"
    """A backup that catch-up still has to copy here refers to it."""
    COMPLETE = "newest complete"
    """Newest backup in which no file was missed: every newer one lacks something."""
    DAMAGED = "damaged"
    """Most of it can still be read, and a replica may repair it."""
    NEWER = "newer"
    """Not a backup by itself, and not older than the oldest retained backup."""
    PAUSED = "paused"
    """Nothing is deleted while no backup is complete, or while the newest one has shrunk."""
    FOREIGN = "not ours"
    """Made by another host."""
    LOCKED = "locked"
    """Sealed under another key."""
    UNREADABLE = "unreadable"
    """It cannot be opened, so its host is unknown."""
    EXPIRED = "expired"
    """Nothing needs it: it is deleted."""


class Fate(Struct, frozen=True):
    """Decision about one archive, with its reason."""

    held: Held
    reason: Reason
    by: tuple[str, ...] = ()
    """Archives that need it, for NEEDED."""

    @property
    def stays(self) -> bool:
        """True if the archive is kept."""
        return self.reason is not Reason.EXPIRED


def decide(
    catalog: Catalog, keep: int, host: str, owed: Iterable[str] = (), coming: int = 0
) -> list[Fate]:
    """Return the decision about each archive of a destination, oldest first.

    `owed` are ids that catch-up still needs; `coming` backups are about to be made and build on the
    newest.
    """
    backups = [held for held in catalog.backups if _summary(held).host == host]
    paused = not backups or shrunk(backups[-1]) or keep < 1
    first = max(len(backups) - max(keep - coming, 0), 0)
    retained = backups[first:] or backups[-1:]
    complete = [held for held in backups if not _summary(held).missed][-1:]
    damaged = [held for held in catalog.hurt if _summary(held).host == host]
    # Damaged backups count, and keep what they refer to.
    damaged = sorted([*backups, *damaged], key=_name)[-keep:] if damaged else []
    roots = (
        (Reason.RETAINED, retained),
        (Reason.RETAINED, [held for held in damaged if held in backups]),
        (Reason.COMPLETE, complete),
        (Reason.DAMAGED, damaged),
    )
    reasons: dict[str, Reason] = {}
    needed: dict[str, set[str]] = {}
    for reason, some in roots:
        for held in some:
            reasons.setdefault(_summary(held).id, reason)
            for other in _summary(held).archives:
                needed.setdefault(other.id, set()).add(_name(held))
    owing = set(owed)

    def fate(held: Held) -> Fate:  # noqa: PLR0911 (a table)
        summary = held.summary
        if summary is None:
            return Fate(held, Reason.LOCKED if held.locked else Reason.UNREADABLE)
        if summary.host != host:
            return Fate(held, Reason.FOREIGN)
        if reason := reasons.get(summary.id):
            return Fate(held, reason)
        if by := needed.get(summary.id):
            return Fate(held, Reason.NEEDED, tuple(sorted(by)))
        if summary.id in owing:
            return Fate(held, Reason.OWED)
        if paused:
            return Fate(held, Reason.PAUSED)
        if _name(held) >= _name(retained[0]):
            return Fate(held, Reason.NEWER)
        return Fate(held, Reason.EXPIRED)

    return [fate(held) for held in catalog.held]


def expired(fates: Iterable[Fate]) -> list[Fate]:
    """Return the archives to delete, newest first.

    A run that dies between two deletions then leaves the other backups whole, because an archive is
    deleted before those that it refers to.
    """
    return [fate for fate in fates if not fate.stays][::-1]


def bases(catalog: Catalog, keep: int, host: str, pruned: Collection[str] = ()) -> set[str]:
    """Return the names of archives that need not be whole: only what others need is verified.

    An archive lost what it refers to through retention if it is older than the newest `keep`
    archives, or if all that it lacks is in `pruned`, the names that packrat is known to have
    deleted. Any other archive with a missing reference was damaged, and is no base. Where this host
    has no archives, all are judged as if they were its own.
    """
    own = [held for held in catalog.held if not held.locked and not _foreign(held, host)]
    if not any(held.summary for held in own):
        own = [held for held in catalog.held if not held.locked]
    recent = {_name(held) for held in own[-keep:]} if keep > 0 else set()
    standing = catalog.standing
    found = set()
    for held in catalog.held:
        lost = missing(held.summary, standing) if held.summary else []
        if lost and (_name(held) not in recent or set(lost) <= set(pruned)):
            found.add(_name(held))
    return found


def incomplete(destination: str, lost: Iterable[str]) -> str:
    """Return the message that nothing is deleted because a listing lacks earlier archives."""
    return (
        f"not pruning {destination}: it no longer lists {', '.join(sorted(lost))};"
        " if that was deleted on purpose, the next run prunes again"
    )


def shrunk(held: Held) -> bool:
    """Return whether a backup has under half of the files or bytes of a normal one."""
    summary = _summary(held)
    files, size = summary.normal
    return summary.files < files / 2 or summary.size < size / 2


def wanted(own: Catalog, sources: Sequence[Catalog], keep: int, host: str) -> list[Held]:
    """Return the archives of a host's newest `keep` backups that a destination lacks, oldest first.

    Backups at any destination count. Oldest first puts references first: an archive refers only to
    older ones.
    """
    known = {id_: held for source in sources for id_, held in source.standing.items()}
    known |= own.standing
    whole_ones = [
        held
        for held in known.values()
        if _summary(held).host == host and whole(_summary(held), known)
    ]
    kept = sorted(whole_ones, key=_name)[-keep:]
    needed = {other.id for held in kept for other in _summary(held).archives}
    needed |= {_summary(held).id for held in kept}
    return sorted((known[id_] for id_ in needed if id_ not in own.standing), key=_name)


def still_owed(own: Catalog, sources: Sequence[Catalog], keep: int, host: str) -> set[str]:
    """Return the ids that backups refer to which catch-up still has to copy here."""
    lacking = wanted(own, sources, keep, host)
    return {other.id for held in lacking for other in _summary(held).archives}


def replaced(parent: Summary, catalogs: Iterable[Catalog], keep: int) -> set[str]:
    """Return the ids of archives that new backups should no longer refer to.

    They are past retention at every destination, and the parent uses too little of them. The data
    it uses is stored again, so that the old file can be deleted as a whole.
    """
    standing: dict[str, Held] = {}
    young: set[str] = set()
    for catalog in catalogs:
        standing |= catalog.standing
        backups = [held for held in catalog.backups if _summary(held).host == parent.host]
        # The backup that is being made counts as one of the newest.
        young |= {_summary(held).id for held in backups[-max(keep - 1, 1) :]}
    return {
        other.id
        for other in parent.archives
        if other.id not in young
        and other.id in standing
        and other.used < WORTH_KEEPING * _summary(standing[other.id]).payload
    }


def _foreign(held: Held, host: str) -> bool:
    return held.summary is not None and held.summary.host != host


def _summary(held: Held) -> Summary:
    assert held.summary is not None
    return held.summary


def _name(held: Held) -> str:
    return held.stored.name
