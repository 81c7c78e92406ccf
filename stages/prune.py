"""Prune: let old backups go from one destination, whole files only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.stage import Stage
from vault.catalog.retention import doomed, incomplete, shrunk, still_owed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession


class Prune(Stage):
    """Runs after the new backup was confirmed, so that there is always a newer good one."""

    kind: ClassVar[str] = "prune"

    destination: str
    keep: int = Field(ge=1)
    """How many backups stay."""

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Any]:
        """Delete what no kept backup refers to; raises Away.

        Nothing goes by a list that lacks what was there at the survey, or before.
        """
        session = run.context
        destination = session.destinations[self.destination]
        catalog = session.cache.catalog(destination, session.service, session.keys)
        before = session.catalogs[self.destination]
        there = {session.name, *before.gone, *(held.stored.name for held in before.held)}
        if lost := there - {held.stored.name for held in catalog.held}:
            run.warn(incomplete(self.destination, lost))
            return
        sources = [c for name, c in session.catalogs.items() if name != self.destination]
        owed = still_owed(catalog, [session.waiting, *sources], self.keep)
        if catalog.backups and shrunk(catalog.backups[-1]):
            run.warn(f"no old backup goes from {self.destination}: the newest one has shrunk")
        for held in doomed(catalog, self.keep, session.host, owed):
            run.check()
            destination.delete(session.service, held.stored.name)
            session.cache.deleted(destination, session.service, held.stored)
            run.advance(1, held.stored.size)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say what stays."""
        return f"at {self.destination}, keeping {self.keep}"
