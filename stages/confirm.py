"""Confirmation: read an archive back from its destination, then give it its final name."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from engine.stage import Stage
from stages.facts import Base, CaughtUp, Job, Published, Stores
from stages.items import Place
from stages.waiting import work_on
from vault.archive.keys import Keys
from vault.catalog.cache import CatalogCache
from vault.catalog.catalog import missing, open_archive
from vault.catalog.prover import Depth, prove_archive
from vault.errors import NotThere, VaultError
from vault.spool import Spool
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from engine.run import Run
    from vault.archive.reader import Archive


class Confirm(Stage):
    """Listed means restorable: only an archive that was read back gets a name that is listed.

    The commit comes last: a run that dies before the rename leaves an unlisted file that the next
    run removes.
    """

    kind: ClassVar[str] = "confirm"
    takes: ClassVar[type | None] = Place
    gives: ClassVar[type | None] = Place
    needs: ClassVar[tuple[type, ...]] = (Job, Base, Keys, Stores, CatalogCache, Spool)
    uses: ClassVar[tuple[Any, ...]] = (CaughtUp(),)
    provides: ClassVar[tuple[type, ...]] = (Published,)

    destination: str
    full: bool = False
    """Read back every frame, instead of both ends and some frames in between."""

    def forward(self, places: Iterator[Place], run: Run) -> Iterator[Place]:
        """Yield the archives that are published; raises Damaged, NotThere, Away."""
        job, keys, name = run.fact(Job), run.fact(Keys), run.fact(Base).name
        store, cache = run.fact(Stores)[self.destination], run.fact(CatalogCache)
        for place in places:

            def prove(at: str, length: int = place.length) -> None:
                archive = open_archive(store, job.service, name, keys, at, check=run.check)
                depth = Depth.FRAMES if self.full else Depth.SAMPLES
                prove_archive(
                    archive, length, depth, random=run.random, step=lambda _: work_on(run)
                )
                self._require_references(archive, run)

            # A run that is killed in here leaves the mark, and the next survey proves the archive.
            mark = (store, job.service, Stored(name, place.length))
            cache.begin_proof(*mark)
            try:
                store.commit(job.service, name, prove, run.check)
            except BaseException:
                with suppress(VaultError):  # the next run removes what is left
                    store.discard(job.service, name)
                raise
            cache.end_proof(*mark)
            run.fact(Spool).deliver()
            run.provide(Published(self.destination))
            run.advance(1, place.length)
            yield place

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return how much is read back."""
        return f"at {self.destination}, reading back {'all' if self.full else 'samples'}"

    def _require_references(self, archive: Archive, run: Run) -> None:
        """List again: an archive that this backup refers to may have gone since the survey."""
        if not archive.manifest.archives:
            return
        job, store = run.fact(Job), run.fact(Stores)[self.destination]
        now = run.fact(CatalogCache).catalog(store, job.service, run.fact(Keys), run.check)
        if gone := missing(archive.manifest, now.referable):
            what = f"destination {self.destination} lacks {gone[0]}, which this backup refers to"
            if why := run.fact(CaughtUp).errors.get(gone[0]):
                raise NotThere(f"{what}: {why}", getattr(why, "hint", ""))
            raise NotThere(what, f"packrat backup --full {job.service} refers to nothing")
