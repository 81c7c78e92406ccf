"""Backups that can be restored, looked up at all destinations in parallel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.format import ArchiveName
from vault.errors import VaultError

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog
    from vault.store.base import Store


@dataclass
class Offer:
    """A backup that can be chosen, and its destinations."""

    name: str
    stored: int
    """Bytes of the archive's file."""
    summary: Summary | None
    """None if it is locked, that is, sealed under another key."""
    destinations: list[str] = field(default_factory=list)
    proven: bool = False
    """True if it was read back in full at one of them, and was good."""

    @property
    def time(self) -> str:
        """The time at which it was made."""
        parts = ArchiveName.parse(self.name)
        return parts.time if parts else ""


@dataclass
class Sight:
    """Backups of one service, as found at its destinations."""

    catalogs: list[Catalog] = field(default_factory=list)
    failed: dict[str, VaultError] = field(default_factory=dict)
    """Destination -> the reason why it does not answer."""
    proven: set[str] = field(default_factory=set)
    """Names of archives that were read back in full."""

    @property
    def offers(self) -> list[Offer]:
        """Return each backup once, the newest first, including locked ones."""
        offers: dict[str, Offer] = {}
        for catalog in self.catalogs:
            held = [*catalog.backups, *(one for one in catalog.held if one.locked)]
            for one in held:
                offer = Offer(one.stored.name, one.stored.size, one.summary)
                offer = offers.setdefault(offer.name, offer)
                offer.destinations.append(catalog.destination.name)
                offer.proven = offer.name in self.proven
        return sorted(offers.values(), key=lambda offer: (offer.time, offer.name), reverse=True)


class Looker:
    """Finder of backups; a destination that did not answer is not contacted again."""

    def __init__(self, program: Program, source: str | None = None) -> None:
        """With `source`, only that destination is searched."""
        self._program = program
        self._source = source
        self._failed: dict[str, VaultError] = {}
        self._seen: dict[str, Sight] = {}

    def at(self, service: str) -> Sight:
        """Return what the destinations hold of a service; the result is cached."""
        if service not in self._seen:
            self._seen[service] = self._look(service)
        return self._seen[service]

    def _look(self, service: str) -> Sight:
        keys, cache = self._program.keys, self._program.cache
        named = self._program.destinations(service)
        if self._source is not None:
            named = {self._source: self._program.destination(self._source)}
        sight = Sight(failed={name: self._failed[name] for name in named if name in self._failed})

        def catalog(destination: Store) -> Catalog | VaultError:
            try:
                return cache.catalog(destination, service, keys)
            except VaultError as error:
                return error

        with ThreadPoolExecutor(max(len(named), 1)) as threads:
            asked = [d for name, d in named.items() if name not in sight.failed]
            for destination, found in zip(asked, threads.map(catalog, asked), strict=True):
                if isinstance(found, VaultError):
                    sight.failed[destination.name] = found
                else:
                    sight.catalogs.append(found)
                    sight.proven |= cache.proofs(destination, service).keys()
        self._failed |= sight.failed
        return sight
