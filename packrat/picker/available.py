"""Backups that can be restored, looked up at all destinations in parallel, and their rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from packrat.picker.cells import aligned
from packrat.text.report import bytes_text, count_text, time_text, when_text
from vault.archive.format import ArchiveName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program
    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog
    from vault.errors import VaultError


@dataclass
class BackupChoice:
    """A backup that can be chosen, and its destinations."""

    name: str
    summary: Summary | None
    """None if it is locked, that is, sealed under another key."""
    destinations: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Destinations at which it, or an archive that it refers to, is damaged."""
    verified: bool = False
    """True if it was read back in full at one of them, and was good."""
    before: Summary | None = None
    """The backup before it."""

    @property
    def news(self) -> str:
        """Summary of the changes since the backup before it."""
        if self.before is None or self.summary is None:
            return "the oldest"
        files = self.summary.files - self.before.files
        word = "more" if files > 0 else "fewer"
        more = f", {count_text(abs(files), f'{word} file')}" if files else ""
        # What was read has unchanged parts of files, and the payload has the index.
        new = min(self.summary.read, self.summary.payload)
        return f"{bytes_text(new)} new{more}" if new or files else "nothing new"

    @property
    def more(self) -> str:
        """Everything that a narrow row leaves out."""
        if self.summary is None:
            return f"at {', '.join(self.destinations)}"
        what = f"{count_text(self.summary.files, 'file')}, {bytes_text(self.summary.size)}"
        where = f" at {', '.join(self.destinations)}" * bool(self.destinations)
        lost = f"; damaged at {', '.join(self.damaged)}" * bool(self.damaged)
        return f"{when_text(self.time)}: {what} ({self.news}){where}{lost}"

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
    read: dict[str, set[str]] = field(default_factory=dict)
    """Destination -> names of archives that were read back in full."""

    @property
    def choices(self) -> list[BackupChoice]:
        """Return each backup once, the newest first, including locked ones."""
        choices: dict[str, BackupChoice] = {}
        for catalog in self.catalogs:
            damaged = catalog.damaged
            locked = [one for one in catalog.listed if one.locked]
            for one in (*catalog.backups, *damaged, *locked):
                choice = BackupChoice(one.stored.name, one.summary)
                choice = choices.setdefault(choice.name, choice)
                at = catalog.destination.name
                if one in damaged:
                    choice.damaged.append(at)
                else:
                    choice.destinations.append(at)
                    choice.verified |= choice.name in self.read[at]
        found = sorted(choices.values(), key=lambda choice: choice.name, reverse=True)
        for choice, older in pairwise(found):
            choice.before = older.summary
        return found

    @property
    def cells(self) -> list[str]:
        """Time and size of the newest backup, and what there is in a few words."""
        known = [choice for choice in self.choices if choice.summary]
        newest = newest_of(known)
        if newest and newest.summary:
            size, count = bytes_text(newest.summary.size), count_text(len(known), "backup")
            return [when_text(newest.time), size, count]
        if known:
            return ["", "", count_text(len(known), "damaged backup")]
        if self.choices:
            return ["", "", f"{count_text(len(self.choices), 'backup')} under another key"]
        return ["", "", "no destination answers" if self.failed else "no backup yet"]


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

    def look(self, service: str) -> tuple[list[Catalog], list[VaultError]]:
        """Return the catalogs of a service, the nearest first, and the errors of the others."""
        found, order = self.find(service), self._program.nearest(service)
        near = [one for name in order for one in found.catalogs if one.destination.name == name]
        return near or found.catalogs, list(found.failed.values())

    def _search(self, service: str) -> FoundBackups:
        keys, cache = self._program.keys, self._program.cache
        named = self._program.destinations(service)
        if self._source is not None:
            named = {self._source: self._program.destination(self._source)}
        asked = {name: store for name, store in named.items() if name not in self._failed}
        catalogs, failed = cache.catalogs(asked, service, keys)
        self._failed |= failed
        return FoundBackups(
            list(catalogs.values()),
            {name: self._failed[name] for name in named if name in self._failed},
            {at: {*cache.proofs(one.destination, service)} for at, one in catalogs.items()},
        )


def newest_of(choices: Sequence[BackupChoice]) -> BackupChoice | None:
    """Return the newest backup that is whole at a destination, and not locked."""
    return next((one for one in choices if one.summary and one.destinations), None)


def rows_of(choices: Sequence[BackupChoice], columns: int) -> list[str]:
    """Return a row for each backup, newest first; with the seconds if two are of one minute."""
    minutes = Counter(time_text(choice.time)[:16] for choice in choices)
    length = 19 if max(minutes.values()) > 1 else 16
    rows = []
    newest = newest_of(choices)
    for choice in choices:
        parts = ArchiveName.parse(choice.name)
        summary = choice.summary
        notes = ["newest"] * (choice is newest) + ["verified"] * choice.verified
        notes += [f"DAMAGED at {', '.join(choice.damaged)}"] * bool(choice.damaged)
        rows.append(
            [
                when_text(choice.time),
                time_text(choice.time)[:length],
                parts.short if parts else "",
                bytes_text(summary.size) if summary else "",
                choice.news if summary else "locked: another password",
                ", ".join(choice.destinations),
                ", ".join(notes),
            ]
        )
    return aligned(rows, columns, drop=(0, 3, 5, 4), right=(3,))
