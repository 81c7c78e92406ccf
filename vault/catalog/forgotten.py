"""Forgotten archives: somebody deleted them, and a destination may still have some.

A destination that was away keeps them until it returns. Until then nothing lists, restores or
copies them, and no backup builds on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vault.catalog.catalog import Catalog


def forgotten_ids(catalogs: Iterable[Catalog]) -> set[str]:
    """Return the ids of archives that a statement or a manifest says were forgotten."""
    found: set[str] = set()
    for catalog in catalogs:
        for item in catalog.statements:
            if item.statement and item.statement.says == "forgotten":
                found.update(item.statement.archives)
        for item in (*catalog.listed, *catalog.forgotten):
            gone = item.summary.gone if item.summary else ()
            found.update(one.archive for one in gone if one.how == "forgotten")
    return found


def take_out_forgotten(catalogs: Collection[Catalog], known: Iterable[Catalog] = ()) -> None:
    """Move forgotten archives from `listed` to `forgotten` in each catalog.

    One that another backup at the same destination needs stays. `known` are catalogs whose
    statements count as well.
    """
    ids = forgotten_ids([*catalogs, *known])
    for catalog in catalogs if ids else ():
        there = sorted([*catalog.listed, *catalog.forgotten], key=lambda item: item.name)
        catalog.listed = there
        kept = [one.summary for one in catalog.backups if one.summary]
        needed = {other.id for one in kept if one.id not in ids for other in one.archives}
        aside = [one for one in there if one.summary and one.summary.id in ids - needed]
        catalog.forgotten = aside
        catalog.listed = [one for one in there if one not in aside]
