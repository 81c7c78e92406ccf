"""Confirm: read an archive back from its destination, then publish it under its final name."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.items import Place
from vault.archive.format import FIRST_SEGMENT
from vault.catalog.catalog import missing, open_archive
from vault.errors import Damaged, NotThere, VaultError
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession
    from vault.archive.reader import Archive

SAMPLES = 3


class Confirm(Stage):
    """Listed means restorable: only what was read back gets a name that is listed.

    Commit last: whatever dies before the rename leaves garbage that the next run removes.
    """

    kind: ClassVar[str] = "confirm"
    takes: ClassVar[type | None] = Place
    gives: ClassVar[type | None] = Place

    destination: str
    full: bool = False
    """Read back every frame, not only both ends and some in between."""

    def forward(self, places: Iterator[Place], run: Run[BackupSession]) -> Iterator[Place]:
        """Give the places that stand; raises Damaged, NotThere, Away."""
        session = run.context
        destination = session.destinations[self.destination]
        for place in places:

            def prove(at: str, length: int = place.length) -> None:
                archive = open_archive(destination, session.service, session.name, session.keys, at)
                if archive.size != length:
                    raise Damaged(archive.where, f"has {archive.size} bytes, {length} were sent")
                self._read_back(archive, run)
                self._require_references(archive, run)

            # A run that is killed within this leaves the mark, and the next survey proves it.
            mark = (destination, session.service, Stored(session.name, place.length))
            session.cache.begin_proof(*mark)
            try:
                destination.publish(session.service, session.name, prove)
            except BaseException:
                with suppress(VaultError):  # what stays, the next run removes
                    destination.discard(session.service, session.name)
                raise
            session.cache.end_proof(*mark)
            run.advance(1, place.length)
            yield place

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say how much is read back."""
        return f"at {self.destination}, reading back {'all' if self.full else 'samples'}"

    def _read_back(self, archive: Archive, run: Run[Any]) -> None:
        count = len(archive.frames)
        chosen = set(range(count))
        if not self.full:
            chosen = {int.from_bytes(run.random(4)) % count for _ in range(SAMPLES) if count}
        for frame in sorted(chosen):
            run.check()
            archive.any_frame(frame + FIRST_SEGMENT)

    def _require_references(self, archive: Archive, run: Run[BackupSession]) -> None:
        """List again: what this backup refers to may have gone since the survey."""
        if not archive.manifest.archives:
            return
        session = run.context
        destination = session.destinations[self.destination]
        now = session.cache.catalog(destination, session.service, session.keys)
        if gone := missing(archive.manifest, now.standing):
            what = f"destination {self.destination} lacks {gone[0]}, which this backup refers to"
            if why := session.not_brought.get((self.destination, gone[0])):
                raise NotThere(f"{what}: {why}", getattr(why, "hint", ""))
            raise NotThere(what, f"packrat backup --full {session.service} refers to nothing")
