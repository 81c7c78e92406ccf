"""Decisions about archives (`Fate`), with their reasons, for the commands that show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import structs

from packrat.text.report import bytes_text, count_text
from vault.catalog.hosts import is_of
from vault.catalog.lineage import pins_of
from vault.catalog.renewal import renewable
from vault.catalog.retention import Fate, Policy, decide, still_owed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packrat.program import Program
    from stages.facts import Holdings
    from vault.archive.format import Referred
    from vault.catalog.catalog import Catalog

    Policies = Mapping[str, Policy]


def policies(program: Program, service: str) -> dict[str, Policy]:
    """Return destination -> what it keeps of a service."""
    return {name: Policy(rules, program.host) for name, rules in program.rules(service).items()}


def fates(policy: Policies, holdings: Holdings, now: float) -> dict[str, list[Fate]]:
    """Return destination -> the decision about each archive there."""
    policy = _with_pins(policy, holdings)
    renewed = {one.id for one in renewals(policy, holdings, now)}
    return {
        name: decide(
            catalog,
            policy[name],
            still_owed(catalog, _others(name, holdings), policy[name]),
            renewed=renewed,
        )
        for name, catalog in holdings.catalogs.items()
    }


def renewals(policy: Policies, holdings: Holdings, now: float) -> list[Referred]:
    """Return the newest backup's references to archives whose data the next backup stores again."""
    policy = _with_pins(policy, holdings)
    hosts = {one.host for one in policy.values()}
    catalogs = [*holdings.catalogs.values(), holdings.waiting]
    own = [item for one in catalogs for item in one.backups for host in hosts if is_of(item, host)]
    newest = max(own, key=lambda item: item.stored.name, default=None)
    if newest is None or newest.summary is None:
        return []
    places = [(catalog, policy[name]) for name, catalog in holdings.catalogs.items()]
    ids = renewable(newest.summary, places, now)
    return [other for other in newest.summary.archives if other.id in ids]


def counts_text(decided: Iterable[Fate], *, reasons: bool = True) -> str:
    """Return how many archives there are, their bytes and, with `reasons`, how many for each."""
    decided = list(decided)
    counts = Counter(fate.reason for fate in decided)
    total = bytes_text(sum(fate.listed.stored.size for fate in decided))
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{count_text(len(decided), 'archive')}, {total}" + f": {words}" * reasons


def _with_pins(policy: Policies, holdings: Holdings) -> Policies:
    catalogs = [*holdings.catalogs.values(), holdings.waiting]
    return {
        name: structs.replace(one, pins=pins_of(catalogs, one.host)) for name, one in policy.items()
    }


def _others(name: str, holdings: Holdings) -> list[Catalog]:
    others = [one for other, one in holdings.catalogs.items() if other != name]
    return [holdings.waiting, *others]
