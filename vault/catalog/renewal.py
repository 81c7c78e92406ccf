"""Renewal: which expired archives new backups should no longer refer to.

The data that the newest backup uses of such an archive is stored again, from the source, so that
the old file can be deleted as a whole. See docs/adr/2-renewal.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.archive.format import unstamp
from vault.catalog.catalog import summary_of
from vault.catalog.hosts import is_of
from vault.catalog.retention import candidate
from vault.catalog.rules import hold, upcoming

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog
    from vault.catalog.retention import Policy

WORTH_KEEPING = 0.6
"""Share of an archive in use from which it is kept even if renewing it would free it everywhere."""
BURDEN = 1.0
"""Cost of a byte stored again at a destination that is not freed soon, in bytes freed elsewhere."""


def renewable(parent: Summary, places: Iterable[tuple[Catalog, Policy]], now: float) -> set[str]:
    """Return the ids of archives whose data the next backup should store again.

    Renewing an archive frees it at a destination once no retained backup there refers to it. That
    is soon enough if it takes less time than the archive has existed. At any other destination the
    data is stored twice for long.
    """
    freed: dict[str, int] = {}
    kept: dict[str, int] = {}
    payloads: dict[str, int] = {}
    for catalog, policy in places:
        wait = _waits(catalog, policy, now)
        for id_, item in catalog.referable.items():
            if item.summary and item.summary.host == parent.host == policy.host:
                payloads[id_] = item.summary.payload
                soon = wait.get(id_, 0.0) < now - unstamp(item.summary.made)
                counts = freed if soon else kept
                counts[id_] = counts.get(id_, 0) + 1
    return {
        other.id
        for other in parent.archives
        if other.id in freed
        and other.used * (freed[other.id] / WORTH_KEEPING + kept.get(other.id, 0) * BURDEN)
        < freed[other.id] * payloads[other.id]
    }


def _waits(catalog: Catalog, policy: Policy, now: float) -> dict[str, float]:
    """Return archive id -> seconds until no backup here that is retained now needs it."""
    backups = [item for item in catalog.backups if is_of(item, policy.host)]
    held = hold(policy.rules, [*map(candidate, backups), *upcoming(now)])
    found: dict[str, float] = {}
    for item in backups:
        summary = summary_of(item)
        until = max((one.seconds for one in held.get(item.name, ())), default=0.0)
        if summary.id in policy.pins:
            until = float("inf")
        for id_ in (summary.id, *(other.id for other in summary.archives)):
            found[id_] = max(found.get(id_, 0.0), until)
    return found
