"""Verification of the archives of a service at one destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.facts import Holdings, Job, ScratchFolder, Verified
from stages.keep import Keep, policy_of
from vault.archive.keys import Keys
from vault.catalog.cache import CatalogCache
from vault.catalog.lineage import sayings_of
from vault.catalog.prover import Depth
from vault.catalog.record import Record
from vault.catalog.retention import bases
from vault.catalog.verdict import Status, Verdict, remember
from vault.catalog.verify import Verifier
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from vault.catalog.catalog import Catalog


class Verify(Link):
    """Stage that reads archives back. It repairs and deletes nothing."""

    kind: ClassVar[str] = "verify"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, CatalogCache, Record, Holdings, ScratchFolder)
    provides: ClassVar[tuple[type, ...]] = (Verified,)

    destination: str
    keep: Keep
    """Number of backups that retention keeps, or rules: other archives need not be whole."""
    depth: Depth = Depth.SAMPLES
    backup: str | None = None
    """File name of the only backup to verify, with what it needs; None for all."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then provide a verdict for each archive; raises Away."""
        yield from items
        catalog = run.fact(Holdings).at(self.destination)
        listed = {item.stored.name: item for item in catalog.listed}
        if self.backup and self.backup not in listed:
            short = self.backup.removesuffix(".packrat").rpartition("-")[2]
            missing = Verdict(short, Stored(self.backup, 0), self.destination, Status.MISSING)
            run.provide(Verified((missing,)))
            return
        names = None
        if self.backup:
            summary = listed[self.backup].summary
            names = {self.backup, *(other.name for other in (summary.archives if summary else ()))}
        verdicts = self._verify(catalog, names, run)
        proven = [one for one in verdicts if not (self.backup and _good_base(one))]
        now = run.clock.now() / 1e9
        remember(run.fact(CatalogCache), catalog, proven, self.depth, now)
        run.provide(Verified(tuple(verdicts)))

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return how much is read."""
        what = f"backup {self.backup}" if self.backup else "every archive"
        return f"{what} at {self.destination}, {self.depth}"

    def _verify(self, catalog: Catalog, names: set[str] | None, run: Run) -> list[Verdict]:
        """Return the verdicts on some archives, or on all; those pruned meanwhile have none."""
        job = run.fact(Job)
        if self.backup:
            expired = {item.stored.name for item in catalog.listed} - {self.backup}
        else:
            holdings = run.fact(Holdings)
            policy = policy_of(self.keep, job, holdings)
            said = sayings_of(holdings.catalogs.values(), job.host)
            known = said.explained | run.fact(Record).pruned(job.service).keys()
            expired = bases(catalog, policy, known)
        every = [item.stored for item in (*catalog.listed, *catalog.statements)]
        run.whole = sum(one.size for one in every if names is None or one.name in names)

        def step(length: int) -> None:
            run.check()
            run.advance(0, length)

        verifier = Verifier(
            catalog,
            run.fact(Keys),
            self.depth,
            bases=expired,
            random=run.random,
            step=step,
            scratch=run.fact(ScratchFolder).folder,
        )
        try:
            verdicts = verifier.verify(names)
        finally:
            verifier.close()
        return [one for one in verdicts if one.status is not Status.PRUNED]


def _good_base(verdict: Verdict) -> bool:
    """Return whether only a part of an archive was proven."""
    return verdict.base and verdict.status is Status.GOOD
