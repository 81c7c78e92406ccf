"""Decisions about archives (`Fate`), with their reasons, for the commands that show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from packrat.text.report import bytes_text, count_text
from vault.catalog.hosts import is_of
from vault.catalog.lineage import pins_of
from vault.catalog.renewal import renewable
from vault.catalog.retention import Fate, Policy, decide, still_owed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.program import Program
    from stages.facts import Holdings
    from vault.archive.format import Referred
    from vault.catalog.catalog import Catalog


def policies(program: Program, service: str, catalogs: Iterable[Catalog]) -> dict[str, Policy]:
    """Return destination -> what it keeps of a service; the catalogs say what is pinned."""
    host, pins = program.host, pins_of(catalogs, program.host)
    return {name: Policy(rules, host, pins) for name, rules in program.rules(service).items()}


def fates(program: Program, service: str, holdings: Holdings, now: float) -> dict[str, list[Fate]]:
    """Return destination -> the decision about each archive there."""
    policy = policies(program, service, _all(holdings))
    renewed = {one.id for one in renewals(program, service, holdings, now)}
    decided = {}
    for name, catalog in holdings.catalogs.items():
        others = [one for one in _all(holdings) if one is not catalog]
        owed = still_owed(catalog, others, policy[name])
        decided[name] = decide(catalog, policy[name], owed, renewed=renewed)
    return decided


def renewals(program: Program, service: str, holdings: Holdings, now: float) -> list[Referred]:
    """Return the newest backup's references to archives whose data the next backup stores again."""
    catalogs = _all(holdings)
    own = [item for one in catalogs for item in one.backups if is_of(item, program.host)]
    newest = max(own, key=lambda item: item.stored.name, default=None)
    if newest is None or newest.summary is None:
        return []
    policy = policies(program, service, catalogs)
    places = [(catalog, policy[name]) for name, catalog in holdings.catalogs.items()]
    ids = renewable(newest.summary, places, now)
    return [other for other in newest.summary.archives if other.id in ids]


def _all(holdings: Holdings) -> list[Catalog]:
    """Return the catalogs of the spool and of the destinations."""
    return [holdings.waiting, *holdings.catalogs.values()]


def counts_text(decided: Iterable[Fate], *, reasons: bool = True) -> str:
    """Return how many archives there are, their bytes and, with `reasons`, how many for each."""
    decided = list(decided)
    counts = Counter(fate.reason for fate in decided)
    total = bytes_text(sum(fate.listed.stored.size for fate in decided))
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{count_text(len(decided), 'archive')}, {total}" + f": {words}" * reasons
