"""Owners of archives: two hosts may share a key, and a destination may mix them up.

Anyone who controls a destination can put an archive of one host among those of another without a
key. So an archive of another host is never the parent or the latest backup of a host that has its
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.catalog.catalog import summary_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault.catalog.catalog import Catalog, Listed


def has_own(catalogs: Iterable[Catalog], host: str) -> bool:
    """Return whether a host has made any of the archives that can be opened."""
    return any(is_of(item, host) for catalog in catalogs for item in catalog.listed)


def is_of(item: Listed, host: str) -> bool:
    """Return whether a host is known to have made an archive."""
    return item.summary is not None and item.summary.host == host


def intruder(catalog: Catalog, catalogs: Iterable[Catalog], host: str) -> str | None:
    """Return another host with a backup here newer than any that this host has, or None."""
    own = [one.name for other in catalogs for one in other.backups if is_of(one, host)]
    newest = catalog.backups[-1:]
    if not newest or is_of(newest[0], host) or (own and max(own) > newest[0].name):
        return None
    return summary_of(newest[0]).host
