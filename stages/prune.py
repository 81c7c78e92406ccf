"""Pruning: delete expired archives at one destination, whole files only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.facts import Holdings, Job, Pruned, Stores
from stages.items import Place
from stages.keep import Keep, policy_of
from vault.archive.keys import Keys
from vault.catalog.cache import CatalogCache
from vault.catalog.forgotten import take_out_forgotten
from vault.catalog.record import Record
from vault.catalog.retention import decide, expired, incomplete, shrunk, still_owed
from vault.catalog.rules import upcoming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from vault.catalog.catalog import Catalog, Listed


class Prune(Link):
    """Stage after the confirmation of the new backup, so that there is always a newer good one."""

    kind: ClassVar[str] = "prune"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, Stores, CatalogCache, Record, Holdings)
    provides: ClassVar[tuple[type, ...]] = (Pruned,)

    destination: str
    keep: Keep
    """Number of backups to keep, or rules."""
    dry_run: bool = False
    """Only report, delete nothing."""
    coming: int = 0
    """Backups that are about to be made, and build on the newest."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then delete what no retained backup refers to; raises Away.

        Nothing is deleted because of a list that lacks archives which were there before.
        """
        new = set()
        for item in items:
            if isinstance(item, Place):
                new.add(item.archive)
            yield item
        holdings = run.fact(Holdings)
        before = holdings.at(self.destination)
        job, cache = run.fact(Job), run.fact(CatalogCache)
        store = run.fact(Stores)[self.destination]
        catalog = cache.catalog(store, job.service, run.fact(Keys), run.check) if new else before
        take_out_forgotten([catalog], holdings.catalogs.values())
        if problem := self._problem(catalog, before, new):
            run.warn(problem)
            run.provide(Pruned(self.destination, problem=problem))
            return
        deleted = []
        expired = self._expired(catalog, holdings, job, run.clock.now() / 1e9)
        if not self.dry_run:  # first: a run that dies in between must not cause an alarm
            record = run.fact(Record)
            record.drop(job.service, store.name, map(_named, catalog.forgotten), "forgotten")
            record.drop(job.service, store.name, map(_named, expired), "pruned")
        for item in (*reversed(catalog.forgotten), *expired):
            run.check()
            if not self.dry_run:
                store.delete(job.service, item.stored.name)
                cache.deleted(store, job.service, item.stored)
            deleted.append(item.stored)
            run.advance(1, item.stored.size)
        forgotten = frozenset(item.stored.name for item in catalog.forgotten)
        run.provide(Pruned(self.destination, tuple(deleted), forgotten))

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return how many backups are kept."""
        return f"at {self.destination}, keeping {self.keep}"

    def _problem(self, catalog: Catalog, before: Catalog, new: set[str]) -> str:
        """Return why nothing may be deleted, or ""."""
        lost = {*before.gone, *before.names} - catalog.names
        lost |= {f"the backup {id_[:8]}" for id_ in new - catalog.referable.keys()}
        if lost:
            return incomplete(self.destination, lost)
        if catalog.backups and shrunk(catalog.backups[-1]):
            return (
                f"not pruning {self.destination}: the newest backup is less than half its usual"
                " size"
            )
        return ""

    def _expired(self, catalog: Catalog, holdings: Holdings, job: Job, now: float) -> list[Listed]:
        others = [c for name, c in holdings.catalogs.items() if name != self.destination]
        policy = policy_of(self.keep, job, holdings)
        owed = still_owed(catalog, [holdings.waiting, *others], policy)
        fates = decide(catalog, policy, owed, upcoming(now, self.coming))
        return [fate.listed for fate in expired(fates)]


def _named(item: Listed) -> tuple[str, str]:
    """Return the name and the id of an archive."""
    return item.stored.name, item.summary.id if item.summary else ""
