"""Retention: which archives each destination keeps, and the reason for each.

Only backups of this host count: those of another host, or of anyone who controls the destination,
must not displace this host's own backups.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.format import ArchiveName, unstamp
from vault.catalog.catalog import missing, summary_of, whole
from vault.catalog.forgotten import forgotten_ids
from vault.catalog.hosts import is_of
from vault.catalog.rules import Candidate, Rules, hold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from vault.archive.lineage import Pin
    from vault.catalog.catalog import Catalog, Listed
    from vault.catalog.rules import Hold


class Reason(StrEnum):
    """Reason why an archive is kept or deleted."""

    PINNED = "pinned"
    """Somebody pinned it."""
    RETAINED = "retained"
    """A rule keeps it."""
    COMPLETE = "newest complete"
    """Newest backup in which no file was missed: every newer one lacks something."""
    DAMAGED = "damaged"
    """Most of it can still be read, and a replica may repair it."""
    NEWER = "incomplete"
    """It would be retained, but something that it refers to is missing or damaged."""
    PAUSED = "paused"
    """Nothing is deleted while no backup is complete, or while the newest one has shrunk."""
    FOREIGN = "not ours"
    """Made by another host."""
    LOCKED = "locked"
    """Sealed under another key."""
    UNREADABLE = "unreadable"
    """It cannot be opened, so its host is unknown."""
    NEEDED = "needed"
    """An archive that is kept refers to it."""
    RENEWED = "being renewed"
    """Needed, but the next backup stores again what it still needs of it."""
    OWED = "owed"
    """A backup that catch-up still has to copy here refers to it."""
    EXPIRED = "expired"
    """Nothing needs it: it is deleted."""


PAST = frozenset({Reason.NEEDED, Reason.RENEWED, Reason.OWED, Reason.EXPIRED})
"""Reasons of archives that are past retention."""


class Policy(Struct, frozen=True):
    """Rules by which a destination keeps archives of a service."""

    rules: Rules
    host: str
    """Host whose backups they are about."""
    pins: Mapping[str, Pin] = {}
    """Archive id -> pin in force."""


class Fate(Struct, frozen=True):
    """Decision about one archive, with its reason."""

    listed: Listed
    reason: Reason
    by: tuple[str, ...] = ()
    """Rules that keep it, archives that need it, the text of its pin, or its host."""

    @property
    def stays(self) -> bool:
        """True if the archive is kept."""
        return self.reason is not Reason.EXPIRED

    @property
    def text(self) -> str:
        """The reason as a phrase for the user."""
        by = self.by
        newest = by[-1].removesuffix(".packrat").rpartition("-")[2] if by else ""
        needers = newest + f" and {len(by) - 1} more" * (len(by) > 1)
        return {
            Reason.PINNED: f"pinned: {', '.join(by)}",
            Reason.RETAINED: f"retained by {', '.join(by)}" if by != ("newest",) else "newest",
            Reason.COMPLETE: "newest complete backup",
            Reason.DAMAGED: "damaged; a replica may repair it",
            Reason.NEWER: "incomplete: a base is missing",
            Reason.PAUSED: "pruning is paused",
            Reason.FOREIGN: f"not ours: made by host {', '.join(by)}",
            Reason.LOCKED: "locked: sealed under another key",
            Reason.UNREADABLE: "unreadable",
            Reason.NEEDED: f"needed by {needers}",
            Reason.RENEWED: f"being renewed; needed by {needers}",
            Reason.OWED: "owed: catch-up will need it here",
            Reason.EXPIRED: "expired",
        }[self.reason]


def decide(
    catalog: Catalog,
    policy: Policy,
    owed: Iterable[str] = (),
    coming: Sequence[Candidate] = (),
    renewed: Collection[str] = (),
) -> list[Fate]:
    """Return the decision about each archive of a destination, oldest first.

    `owed` are ids that catch-up still needs; `coming` backups are about to be made and build on the
    newest; `renewed` are ids that new backups no longer refer to.
    """
    own = [item for item in catalog.listed if is_of(item, policy.host)]
    backups = [item for item in catalog.backups if is_of(item, policy.host)]
    damaged = [item for item in catalog.damaged if is_of(item, policy.host)]
    paused = not backups or shrunk(backups[-1])
    held = _held(policy.rules, backups, coming)
    if damaged:  # they count, and keep what they refer to
        held = _held(policy.rules, [*backups, *damaged]) | held
    whole_ones = {item.name for item in backups}
    # Not whole, but it would be kept, or is not older than the oldest of the last ones.
    recent = _recent(policy.rules, own, backups, coming) - whole_ones
    complete = [item for item in backups if not summary_of(item).missed][-1:]
    reasons: dict[str, tuple[Reason, tuple[str, ...]]] = {}
    needed: dict[str, set[str]] = {}

    def keep(reason: Reason, item: Listed, by: tuple[str, ...] = ()) -> None:
        reasons.setdefault(summary_of(item).id, (reason, by))
        for other in summary_of(item).archives:
            needed.setdefault(other.id, set()).add(item.name)

    for item in own:
        if pin := policy.pins.get(summary_of(item).id):
            keep(Reason.PINNED, item, (pin.text,))
    for item in backups:
        if rules := held.get(item.name):
            keep(Reason.RETAINED, item, tuple(one.rule for one in rules))
    for item in backups[-1:]:
        keep(Reason.RETAINED, item, ("newest",))
    for item in complete:
        keep(Reason.COMPLETE, item)
    for item in damaged:
        if item.name in held:
            keep(Reason.DAMAGED, item)
    owing = set(owed)

    def fate(item: Listed) -> Fate:  # noqa: PLR0911 (a table)
        summary = item.summary
        if summary is None:
            return Fate(item, Reason.LOCKED if item.locked else Reason.UNREADABLE)
        if summary.host != policy.host:
            return Fate(item, Reason.FOREIGN, (summary.host,))
        if reason := reasons.get(summary.id):
            return Fate(item, *reason)
        if by := needed.get(summary.id):
            reason_ = Reason.RENEWED if summary.id in renewed else Reason.NEEDED
            return Fate(item, reason_, tuple(sorted(by)))
        if summary.id in owing:
            return Fate(item, Reason.OWED)
        if item.name in recent:
            return Fate(item, Reason.NEWER)
        return Fate(item, Reason.PAUSED if paused else Reason.EXPIRED)

    return [fate(item) for item in catalog.listed]


def expired(fates: Iterable[Fate]) -> list[Fate]:
    """Return the archives to delete, newest first.

    A run that dies between two deletions then leaves the other backups whole, because an archive is
    deleted before those that it refers to.
    """
    return [fate for fate in fates if not fate.stays][::-1]


def bases(catalog: Catalog, policy: Policy, explained: Collection[str] = ()) -> set[str]:
    """Return the names of archives that need not be whole: only what others need is verified.

    An archive lost what it refers to through retention if the rules do not keep it, or if all that
    it lacks is in `explained`, the ids of archives that packrat is known to have deleted or whose
    absence was accepted. Any other archive with a missing reference was damaged, and is no base.
    Where this host has no archives, all are judged as if they were its own.
    """
    opened = [item for item in catalog.listed if item.summary]
    own = [item for item in opened if is_of(item, policy.host)] or opened
    kept = {item.name for item in own if summary_of(item).id in policy.pins}
    own += [item for item in catalog.listed if not (item.summary or item.locked)]
    kept |= _held(policy.rules, own).keys()
    referable, known = catalog.referable, {*explained}
    found = set()
    for item in opened:
        lost = missing(summary_of(item), referable)
        ids = {other.id for other in summary_of(item).archives if other.name in lost}
        if lost and (item.name not in kept or ids <= known):
            found.add(item.name)
    return found


def incomplete(destination: str, lost: Iterable[str]) -> str:
    """Return the message that nothing is deleted because a listing lacks earlier archives."""
    return (
        f"not pruning {destination}: it no longer lists {', '.join(sorted(lost))};"
        " if that was deleted on purpose, the next run prunes again"
    )


def shrunk(item: Listed) -> bool:
    """Return whether a backup has under half of the files or bytes of a normal one."""
    summary = summary_of(item)
    files, size = summary.normal
    return summary.files < files / 2 or summary.size < size / 2


def candidate(item: Listed) -> Candidate:
    """Return an archive as the rules see it: by the time at which its source was read."""
    if item.summary is None:
        name = ArchiveName.parse(item.name)
        return Candidate(item.name, unstamp(name.time) if name else 0, good=False)
    good = not (item.summary.missed or shrunk(item))
    return Candidate(item.name, unstamp(item.summary.made), good)


def to_copy(own: Catalog, sources: Sequence[Catalog], policy: Policy) -> list[Listed]:
    """Return the archives that a destination's policy keeps and that it lacks, oldest first.

    Backups at any destination count, with what they refer to. Oldest first puts references first:
    an archive refers only to older ones.
    """
    known = {id_: item for source in sources for id_, item in source.referable.items()}
    known |= own.referable
    forgotten = forgotten_ids([own, *sources])
    found = {
        item.name: item
        for id_, item in known.items()
        if id_ not in forgotten and is_of(item, policy.host) and whole(summary_of(item), known)
    }
    kept = [found[name] for name in _held(policy.rules, found.values())]
    kept += [item for item in found.values() if summary_of(item).id in policy.pins]
    needed = {other.id for item in kept for other in summary_of(item).archives}
    needed |= {summary_of(item).id for item in kept}
    lacking = [known[id_] for id_ in needed if id_ not in own.referable]
    return sorted(lacking, key=lambda item: item.name)


def still_owed(own: Catalog, sources: Sequence[Catalog], policy: Policy) -> set[str]:
    """Return the ids that backups refer to which catch-up still has to copy here."""
    lacking = to_copy(own, sources, policy)
    return {other.id for item in lacking for other in summary_of(item).archives}


def _held(
    rules: Rules, items: Iterable[Listed], coming: Sequence[Candidate] = ()
) -> dict[str, tuple[Hold, ...]]:
    return hold(rules, [*map(candidate, items), *coming])


def _recent(
    rules: Rules, own: list[Listed], backups: list[Listed], coming: Sequence[Candidate]
) -> set[str]:
    """Return the archives that the rules would keep if all were backups, and all last ones."""
    last = backups[-max(rules.last - len(coming), 1) :]
    since = last[0].name if last else ""
    return {item.name for item in own if item.name >= since} | _held(rules, own, coming).keys()
