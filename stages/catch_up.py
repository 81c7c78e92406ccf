"""Catch up: bring to a destination what it missed, before anything new goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from engine.stage import Stage
from stages.items import Part
from vault.catalog.proof import bring
from vault.catalog.retention import wanted
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession
    from vault.catalog.catalog import Catalog, Held


class CatchUp(Stage):
    """Lets parts through once the destination has all that the kept backups need.

    It was off, full, or is new: what it lacks comes from the spool or from another destination,
    the same bytes, references first.
    """

    kind: ClassVar[str] = "catch_up"
    takes: ClassVar[type | None] = Part
    gives: ClassVar[type | None] = Part

    destination: str
    keep: int = Field(ge=1)
    """How many backups it should have."""

    def forward(self, parts: Iterator[Part], run: Run[BackupSession]) -> Iterator[Part]:
        """Copy, then pass the parts on; raises Away."""
        session = run.context
        first = next(parts)  # the survey is over and the spool exists from here on
        assert session.spool is not None
        try:
            self._bring(run)
        except BaseException:
            session.spool.leave(self.destination)
            raise
        yield first
        yield from parts

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say what for."""
        return f"{self.destination} gets what it missed"

    def _bring(self, run: Run[BackupSession]) -> None:
        session = run.context
        if away := session.away.get(self.destination):
            raise away
        own = session.catalogs[self.destination]
        others = [c for name, c in session.catalogs.items() if name != self.destination]
        sources = [session.waiting, *others]
        for held in wanted(own, sources, self.keep):
            for source in sources:
                if held.stored in [other.stored for other in source.standing.values()]:
                    try:
                        self._copy(run, source, held)
                        break
                    except VaultError as error:
                        session.not_brought[self.destination, held.stored.name] = error
                        run.warn(f"{held.stored.name} could not be copied: {error}")

    def _copy(self, run: Run[BackupSession], source: Catalog, held: Held) -> None:
        """Copy one archive, prove it, publish it; one found damaged here is good again."""
        session = run.context
        destination = session.destinations[self.destination]

        def step(size: int) -> None:
            run.check()
            run.advance(0, size)

        bring(source.destination, destination, session.service, held.stored, session.keys, step)
        now = run.clock.now() / 1e9
        session.cache.prove(destination, session.service, held.stored, now)
        run.advance(1)
