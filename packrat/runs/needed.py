"""Reasons why single backups must not be forgotten: pins, other backups, or no newer good one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from packrat.runs.fates import fates
from stages.facts import Holdings
from vault.archive.format import ArchiveName
from vault.catalog.catalog import Catalog
from vault.catalog.hosts import has_own, is_of
from vault.catalog.lineage import pins_of
from vault.catalog.retention import PAST
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from packrat.program import Program


def require_replaceable(
    program: Program, service: str, chosen: Collection[str], catalogs: list[Catalog]
) -> None:
    """Raise VaultError if one of the chosen archives is still needed, with what to do."""
    ids = {
        item.summary.id: item.stored.name
        for catalog in catalogs
        for item in catalog.listed
        if item.summary and item.stored.name in chosen
    }
    if pinned := pins_of(catalogs, None).keys() & ids:
        short = min(pinned)[:8]
        raise VaultError(
            f"backup {short} of {service} is pinned", f"first: packrat unpin {service} {short}"
        )
    host = program.host if has_own(catalogs, program.host) else None
    good = {
        item.stored.name
        for catalog in catalogs
        for item in catalog.backups
        if item.stored.name not in chosen and (host is None or is_of(item, host))
    }
    # A locked one may be from a machine with another clock: any good backup will do.
    locked = {item.stored.name for one in catalogs for item in one.listed if item.locked}
    newest = max(good, default="")
    if newer := [name for name in chosen if not newest or (name > newest and name not in locked)]:
        raise VaultError(
            f"no good backup of {service} is newer than {_short([max(newer)])}",
            f"make one first: packrat backup {service}; after that it can be forgotten",
        )
    if needing := _needing(program, service, ids, catalogs):
        more = " ".join(sorted(id_[:8] for id_ in ids))
        raise VaultError(
            f"these backups of {service} need what you want to forget: {_short(needing)}",
            f"forget all of them: packrat forget {service} {more} {' '.join(_ids(needing))};"
            " or wait until they have expired",
        )


def _needing(
    program: Program, service: str, ids: Collection[str], catalogs: list[Catalog]
) -> set[str]:
    """Return the names of other archives that would be damaged: backups, or retained ones."""
    rules = program.rules(service)
    ruled = {one.destination.name: one for one in catalogs if one.destination.name in rules}
    nothing = Catalog(catalogs[0].destination, service)
    decided = fates(program, service, Holdings(ruled, {}, nothing), time.time())
    past = {
        (name, fate.listed.stored.name)
        for name, some in decided.items()
        for fate in some
        if fate.reason in PAST
    }
    return {
        item.stored.name
        for catalog in catalogs
        for item in catalog.listed
        if item.summary and item.summary.id not in ids
        if any(other.id in ids for other in item.summary.archives)
        if item in catalog.backups or (catalog.destination.name, item.stored.name) not in past
    }


def _ids(names: Iterable[str]) -> list[str]:
    return [parts.short for name in sorted(names) if (parts := ArchiveName.parse(name))]


def _short(names: Iterable[str]) -> str:
    return ", ".join(_ids(names))
