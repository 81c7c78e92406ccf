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
    from vault.catalog.catalog import Catalog, Listed

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

    listed: Listed
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
    backups = [item for item in catalog.backups if _summary(item).host == host]
    paused = not backups or shrunk(backups[-1]) or keep < 1
    first = max(len(backups) - max(keep - coming, 0), 0)
    retained = backups[first:] or backups[-1:]
    complete = [item for item in backups if not _summary(item).missed][-1:]
    damaged = [item for item in catalog.damaged if _summary(item).host == host]
    # Damaged backups count, and keep what they refer to.
    damaged = sorted([*backups, *damaged], key=_name)[-keep:] if damaged else []
    roots = (
        (Reason.RETAINED, retained),
        (Reason.RETAINED, [item for item in damaged if item in backups]),
        (Reason.COMPLETE, complete),
        (Reason.DAMAGED, damaged),
    )
    reasons: dict[str, Reason] = {}
    needed: dict[str, set[str]] = {}
    for reason, some in roots:
        for item in some:
            reasons.setdefault(_summary(item).id, reason)
            for other in _summary(item).archives:
                needed.setdefault(other.id, set()).add(_name(item))
    owing = set(owed)

    def fate(item: Listed) -> Fate:  # noqa: PLR0911 (a table)
        summary = item.summary
        if summary is None:
            return Fate(item, Reason.LOCKED if item.locked else Reason.UNREADABLE)
        if summary.host != host:
            return Fate(item, Reason.FOREIGN)
        if reason := reasons.get(summary.id):
            return Fate(item, reason)
        if by := needed.get(summary.id):
            return Fate(item, Reason.NEEDED, tuple(sorted(by)))
        if summary.id in owing:
            return Fate(item, Reason.OWED)
        if paused:
            return Fate(item, Reason.PAUSED)
        if _name(item) >= _name(retained[0]):
            return Fate(item, Reason.NEWER)
        return Fate(item, Reason.EXPIRED)

    return [fate(item) for item in catalog.listed]


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
    own = [item for item in catalog.listed if not item.locked and not _foreign(item, host)]
    if not any(item.summary for item in own):
        own = [item for item in catalog.listed if not item.locked]
    recent = {_name(item) for item in own[-keep:]} if keep > 0 else set()
    referable = catalog.referable
    found = set()
    for item in catalog.listed:
        lost = missing(item.summary, referable) if item.summary else []
        if lost and (_name(item) not in recent or set(lost) <= set(pruned)):
            found.add(_name(item))
    return found


def incomplete(destination: str, lost: Iterable[str]) -> str:
    """Return the message that nothing is deleted because a listing lacks earlier archives."""
    return (
        f"not pruning {destination}: it no longer lists {', '.join(sorted(lost))};"
        " if that was deleted on purpose, the next run prunes again"
    )


def shrunk(item: Listed) -> bool:
    """Return whether a backup has under half of the files or bytes of a normal one."""
    summary = _summary(item)
    files, size = summary.normal
    return summary.files < files / 2 or summary.size < size / 2


def to_copy(own: Catalog, sources: Sequence[Catalog], keep: int, host: str) -> list[Listed]:
    """Return the archives of a host's newest `keep` backups that a destination lacks, oldest first.

    Backups at any destination count. Oldest first puts references first: an archive refers only to
    older ones.
    """
    known = {id_: item for source in sources for id_, item in source.referable.items()}
    known |= own.referable
    whole_ones = [
        item
        for item in known.values()
        if _summary(item).host == host and whole(_summary(item), known)
    ]
    kept = sorted(whole_ones, key=_name)[-keep:]
    needed = {other.id for item in kept for other in _summary(item).archives}
    needed |= {_summary(item).id for item in kept}
    return sorted((known[id_] for id_ in needed if id_ not in own.referable), key=_name)


def still_owed(own: Catalog, sources: Sequence[Catalog], keep: int, host: str) -> set[str]:
    """Return the ids that backups refer to which catch-up still has to copy here."""
    lacking = to_copy(own, sources, keep, host)
    return {other.id for item in lacking for other in _summary(item).archives}


def replaced(parent: Summary, catalogs: Iterable[Catalog], keep: int) -> set[str]:
    """Return the ids of archives that new backups should no longer refer to.

    They are past retention at every destination, and the parent uses too little of them. The data
    it uses is stored again, so that the old file can be deleted as a whole.
    """
    referable: dict[str, Listed] = {}
    young: set[str] = set()
    for catalog in catalogs:
        referable |= catalog.referable
        backups = [item for item in catalog.backups if _summary(item).host == parent.host]
        # The backup that is being made counts as one of the newest.
        young |= {_summary(item).id for item in backups[-max(keep - 1, 1) :]}
    return {
        other.id
        for other in parent.archives
        if other.id not in young
        and other.id in referable
        and other.used < WORTH_KEEPING * _summary(referable[other.id]).payload
    }


def _foreign(item: Listed, host: str) -> bool:
    return item.summary is not None and item.summary.host != host


def _summary(item: Listed) -> Summary:
    assert item.summary is not None
    return item.summary


def _name(item: Listed) -> str:
    return item.stored.name
