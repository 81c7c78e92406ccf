"""Catch up: bring to a destination what it missed, before anything new goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from engine.stage import Stage
from stages.items import Part
from vault.catalog import open_archive
from vault.copy import Copy
from vault.errors import VaultError
from vault.format import FIRST_SEGMENT
from vault.retention import wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession
    from vault.catalog import Catalog, Held


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
                if held.stored in [other.stored for other in source.held]:
                    try:
                        self._copy(run, source, held)
                        break
                    except VaultError as error:
                        run.warn(f"{held.stored.name} could not be copied: {error}")

    def _copy(self, run: Run[BackupSession], source: Catalog, held: Held) -> None:
        """Copy one archive, prove it, publish it."""
        session = run.context
        destination = session.destinations[self.destination]
        name, size = held.stored.name, held.stored.size
        copy = Copy(source.destination, session.service, name, size)

        def prove(at: str) -> None:
            # What it refers to need not be here: it may be a base that only lends some chunks.
            archive = open_archive(destination, session.service, name, session.keys, at)
            if archive.size != size:
                raise VaultError(f"{archive.where} did not arrive whole")
            for frame in range(len(archive.frames)):  # all of it: damage must not spread
                run.check()
                archive.any_frame(frame + FIRST_SEGMENT)

        try:
            taken = 0
            for so_far in destination.receive(session.service, name, copy, copy.ranges()):
                run.check()
                run.advance(0, so_far - taken)
                taken = so_far
            destination.publish(session.service, name, prove)
        except BaseException:
            destination.discard(session.service, name)
            raise
        run.advance(1)
