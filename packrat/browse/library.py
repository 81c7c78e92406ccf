"""Backups of the configured services, opened when somebody looks into them."""

from __future__ import annotations

import errno
import os
import threading
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from packrat.restore.choose import Chosen, look, open_nearest
from packrat.restore.opened import OpenedBackup
from packrat.restore.unlock import choose_and_unlock
from packrat.text.report import missed_text, warn
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packrat.program import Program
    from vault.archive.format import Summary
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog

    Listing = Callable[[str], tuple[list[Catalog], list[VaultError]]]

REFRESH_SECONDS = 60.0
"""Time after which destinations are listed again for new backups."""


class ChosenBackups:
    """Backups as the command line names them: an id, a time, a prefix of either, or `latest`."""

    def __init__(
        self, program: Program, source: str | None = None, password_file: str | None = None
    ) -> None:
        """Read from the destination `source`; `password_file` opens a backup under another key."""
        self._program, self._source, self._password_file = program, source, password_file

    def services(self) -> Iterable[str]:
        """Return the names of the configured services."""
        return self._program.config.services

    def backups(self, service: str) -> Iterable[str]:  # noqa: ARG002 (of the protocol)
        """Return the one name that every service has."""
        return ["latest"]

    def open(self, service: str, backup: str) -> OpenedBackup:
        """Choose a backup and open it, and warn about files that it lacks; raises VaultError."""
        self._program.services([service])
        program, chosen = choose_and_unlock(
            self._program, service, backup, self._source, self._password_file
        )
        if chosen.archive.manifest.missed:
            warn(missed_text(chosen.archive.manifest))
        return OpenedBackup(service, chosen, program.keys, {})


class AllBackups:
    """All backups that can be restored, by the local time at which they were made."""

    def __init__(
        self, program: Program, source: str | None = None, listing: Listing | None = None
    ) -> None:
        """Look at all destinations of each service, or only at `source`.

        `listing` lists a service's archives, like `look`, which is the default.
        """
        self._program = program
        self._listing = listing or partial(look, program, source=source, warn=self._warn)
        self._looked: dict[str, tuple[float, list[Catalog], dict[str, Summary]]] = {}
        self._opened: dict[str, Archive] = {}
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        self.away = False
        """True if a destination did not answer."""

    def services(self) -> Iterable[str]:
        """Return the names of the configured services."""
        return self._program.config.services

    def backups(self, service: str) -> dict[str, Summary]:
        """Return folder name -> backup, the oldest first; raises VaultError if none answers."""
        return self._look(service)[1]

    def open(self, service: str, backup: str) -> OpenedBackup:
        """Open a backup by its folder name; raises VaultError."""
        catalogs, backups = self._look(service)
        if (summary := backups.get(backup)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{service}/{backup}")
        if summary.id in self._opened:
            chosen = Chosen(catalogs[0], self._opened[summary.id], catalogs[1:])
        else:
            chosen = open_nearest(catalogs, summary.name, self._program.keys, warn)
        return OpenedBackup(service, chosen, self._program.keys, self._opened)

    def _look(self, service: str) -> tuple[list[Catalog], dict[str, Summary]]:
        with self._lock:
            if service not in self._program.config.services:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), service)
            until, catalogs, backups = self._looked.get(service, (0.0, [], {}))
            if time.monotonic() > until:
                try:
                    catalogs, failed = self._listing(service)
                except VaultError as error:
                    if not catalogs:
                        raise
                    self._warn(str(error))  # what was listed before may be read again later
                else:
                    self.away |= bool(failed)
                    backups = folder_names(
                        one.summary for each in catalogs for one in each.backups if one.summary
                    )
                until = time.monotonic() + REFRESH_SECONDS
                self._looked[service] = until, catalogs, backups
            return catalogs, backups

    def _warn(self, text: str) -> None:
        """Warn once, although destinations are listed again and again."""
        if text not in self._warned:
            self._warned.add(text)
            warn(text)


def folder_names(backups: Iterable[Summary]) -> dict[str, Summary]:
    """Return a name for each backup by its local time, the oldest first.

    In the hour that is repeated when the clocks go back, names end with the offset from UTC.
    """
    names: dict[str, Summary] = {}
    each = {one.id: one for one in backups}.values()
    for one in sorted(each, key=lambda one: (one.made, one.time, one.id)):
        moment = datetime.fromisoformat(one.made).astimezone()
        naive = moment.replace(tzinfo=None)
        offsets = {naive.replace(fold=fold).astimezone().utcoffset() for fold in (0, 1)}
        name = moment.strftime("%Y-%m-%dT%H-%M-%S" + "%z" * (len(offsets) > 1))
        names[f"{name}-{one.id[:8]}" if name in names else name] = one
    return names
