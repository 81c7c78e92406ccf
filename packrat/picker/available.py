"""Backups that can be restored, looked up at all destinations in parallel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.format import ArchiveName

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog
    from vault.errors import VaultError


@dataclass
class BackupChoice:
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
        if self.summary:
            return self.summary.made
        parts = ArchiveName.parse(self.name)
        return parts.time if parts else ""


@dataclass
class FoundBackups:
    """Backups of one service, as found at its destinations."""

    catalogs: list[Catalog] = field(default_factory=list)
    failed: dict[str, VaultError] = field(default_factory=dict)
    """Destination -> the reason why it does not answer."""
    proven: set[str] = field(default_factory=set)
    """Names of archives that were read back in full."""

    @property
    def choices(self) -> list[BackupChoice]:
        """Return each backup once, the newest first, including locked ones."""
        choices: dict[str, BackupChoice] = {}
        for catalog in self.catalogs:
            item = [*catalog.backups, *(one for one in catalog.listed if one.locked)]
            for one in item:
                choice = BackupChoice(one.stored.name, one.stored.size, one.summary)
                choice = choices.setdefault(choice.name, choice)
                choice.destinations.append(catalog.destination.name)
                choice.proven = choice.name in self.proven
        return sorted(choices.values(), key=lambda choice: choice.name, reverse=True)


class BackupFinder:
    """Finder of backups; a destination that did not answer is not contacted again."""

    def __init__(self, program: Program, source: str | None = None) -> None:
        """With `source`, only that destination is searched."""
        self._program = program
        self._source = source
        self._failed: dict[str, VaultError] = {}
        self._found: dict[str, FoundBackups] = {}

    def services(self) -> list[str]:
        """Return all services, also those that left the configuration, after a look at each."""
        for name in self._program.config.services:
            self.find(name)
        if self._source is None:
            self._program.adopt_all(self._failed)
        return list(self._program.config.services)

    def find(self, service: str) -> FoundBackups:
        """Return what the destinations have of a service; the result is cached."""
        if service not in self._found:
            self._found[service] = self._search(service)
        return self._found[service]

    def _search(self, service: str) -> FoundBackups:
        keys, cache = self._program.keys, self._program.cache
        named = self._program.destinations(service)
        if self._source is not None:
            named = {self._source: self._program.destination(self._source)}
        asked = {name: store for name, store in named.items() if name not in self._failed}
        catalogs, failed = cache.catalogs(asked, service, keys)
        self._failed |= failed
        proofs = [cache.proofs(one.destination, service) for one in catalogs.values()]
        return FoundBackups(
            list(catalogs.values()),
            {name: self._failed[name] for name in named if name in self._failed},
            {name for proven in proofs for name in proven},
        )
