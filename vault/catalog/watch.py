"""Watch over the history of a service: what a destination lists, against what it should have.

What it should have is what the record says it had, less what packrat deleted, what the rules would
have deleted by now, and what somebody accepted. A destination that this machine has never seen is
compared with the others, and with what its newest archive names. Gaps in the sequence mean nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from vault.archive.format import ArchiveName, unstamp
from vault.catalog.alarm import Alarm, Kind, Lost
from vault.catalog.catalog import summary_of
from vault.catalog.forgotten import forgotten_ids
from vault.catalog.hosts import is_of
from vault.catalog.lineage import pins_of, sayings_of
from vault.catalog.record import Held
from vault.catalog.retention import Policy, candidate, to_copy
from vault.catalog.rules import Candidate, Rules, hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vault.catalog.catalog import Catalog, Listed
    from vault.catalog.lineage import Sayings
    from vault.catalog.record import Record, State


def look_back(
    record: Record,
    host: str,
    rules: Mapping[str, Rules],
    catalogs: Sequence[Catalog],
    since: float,
    *,
    state: State | None = None,
    asked_all: bool = True,
    infer: bool = True,
) -> list[Alarm]:
    """Return the alarms about a service, and record them and what is new at its destinations.

    `rules` are those of destinations, as far as they are known; `since` is when the listings were
    begun. `state` is what was recorded by then, if the service is locked: the run may have deleted
    what it had just brought back. Otherwise what is recorded now counts, since another command may
    have pruned after the listing. A destination that was never seen is compared with the others,
    and recorded only if `asked_all`, as otherwise it would never be. Without `infer`, it was just
    written to.
    """
    alarms: list[Alarm] = []
    said, pins = sayings_of(catalogs, host), pins_of(catalogs, host)
    forgotten = forgotten_ids(catalogs)
    state = state or record.state(catalogs[0].service if catalogs else "")
    for catalog in catalogs:
        at, keep = catalog.destination.name, rules.get(catalog.destination.name)
        own = [item for item in catalog.listed if is_of(item, host)]
        new = [
            held
            for item in own
            if not item.problem and (held := held_of(catalog, item, since)) and _is_new(held, state)
        ]
        if at not in state.alarms:  # the first look
            if not asked_all:
                continue
            elsewhere = [one for one in catalogs if one is not catalog]
            policy = Policy(keep or Rules(last=1), host, pins)
            new += _inferred(catalog, own, elsewhere, policy, since) if infer else []
        record.add(catalog.service, new)
        for event in new:
            state.add(event)
        lost = [
            held
            for held in state.held[at].values()
            if held.host == host
            and held.name not in catalog.names
            and not (held.id in forgotten or _explained(held, said))
        ]
        newest = max(own, key=lambda item: item.name, default=None)
        needed = {other.id for other in summary_of(newest).archives} if newest else set()
        bases = [held for held in lost if held.id in needed]
        others = _kept([held for held in lost if held.id not in needed], own, keep, pins)
        either = (_alarm(catalog, newest, Kind.BASE, bases), _missing(catalog, newest, others))
        found = [alarm for alarm in either if alarm]
        record.raise_alarms(catalog.service, at, found, state.alarms.get(at))
        alarms += found
    return alarms


def held_of(catalog: Catalog, item: Listed, since: float, *, inferred: bool = False) -> Held:
    """Return the event that a destination has an archive, or should have it."""
    summary = summary_of(item)
    return Held(
        at=catalog.destination.name,
        root=catalog.destination.root,
        name=item.name,
        id=summary.id,
        host=summary.host,
        made=summary.made,
        time=since,
        good=candidate(item).good,
        inferred=inferred,
    )


def _is_new(held: Held, state: State) -> bool:
    known = state.held[held.at].get(held.name)
    return known is None or known.root != held.root or known.inferred


def _inferred(
    catalog: Catalog, own: list[Listed], others: list[Catalog], policy: Policy, since: float
) -> list[Held]:
    """Return what a destination that was never seen should have besides what it lists.

    That is what catch-up would bring, and what its newest archive names: its parent and its bases.
    So a destination that was set back shows, also if backups went on from there in another line.
    """
    newest = max(own, key=lambda item: item.name, default=None)
    if newest is None:
        return []
    found = {
        item.name: held_of(catalog, item, since, inferred=True)
        for item in to_copy(catalog, others, policy)
    }
    summary = summary_of(newest)
    names = [(other.name, other.id) for other in summary.archives]
    names += [(summary.parent.name, summary.parent.id)] if summary.parent else []
    place = catalog.destination.name, catalog.destination.root
    for name, id_ in names:
        if parsed := ArchiveName.parse(name):
            held = Held(*place, name, id_, summary.host, parsed.time, since, inferred=True)
            # Perhaps it lacked files: then a period keeps another one.
            found.setdefault(name, structs.replace(held, good=False))
    lacking = [held for name, held in found.items() if name not in catalog.names]
    return _kept(lacking, own, policy.rules, policy.pins)


def _kept(
    lost: list[Held], own: list[Listed], rules: Rules | None, pins: Iterable[str]
) -> list[Held]:
    """Return those that the rules, or backups that they keep, still need; all without rules."""
    if not lost or rules is None:
        return lost
    candidates = [Candidate(one.name, unstamp(one.made), one.good) for one in lost]
    held = hold(rules, [*map(candidate, own), *candidates]).keys()
    needed = {*pins}
    for item in own:
        if item.name in held:
            needed |= {other.id for other in summary_of(item).archives}
    return [one for one in lost if one.name in held or one.id in needed]


def _explained(held: Held, said: Sayings) -> bool:
    """Return whether a statement says why an archive is gone.

    What this machine saw and packrat deleted is in the record, which is about one destination. A
    statement is about all, so an acceptance says nothing about what was seen afterwards.
    """
    accepted = said.accepted.get(held.id)
    if accepted is not None and (held.inferred or accepted >= held.time):
        return True
    return held.inferred and held.id in said.gone


def _missing(catalog: Catalog, newest: Listed | None, lost: list[Held]) -> Alarm | None:
    kind = Kind.MISSING
    if newest is None:
        kind = Kind.EMPTY
    elif any(one.name > newest.name for one in lost):
        kind = Kind.OLDER
    return _alarm(catalog, newest, kind, lost)


def _alarm(catalog: Catalog, newest: Listed | None, kind: Kind, lost: list[Held]) -> Alarm | None:
    if not lost:
        return None
    lost = sorted(lost, key=lambda one: one.name)
    root = catalog.destination.root
    return Alarm(
        service=catalog.service,
        destination=catalog.destination.name,
        kind=kind,
        lost=tuple(Lost(one.name, one.id, one.made) for one in lost),
        newest=_lost(newest) if newest else None,
        moved_from=lost[-1].root if lost[-1].root != root else "",
        inferred=all(one.inferred for one in lost),
    )


def _lost(item: Listed) -> Lost:
    return Lost(item.name, summary_of(item).id, summary_of(item).made)
