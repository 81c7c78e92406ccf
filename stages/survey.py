"""Survey: list what each destination has of a service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.facts import Holdings, Job, Stores
from stages.spool_folder import SpoolFolder
from stages.waiting import work_on
from vault.archive.format import stamp
from vault.archive.keys import Keys
from vault.catalog.cache import UNPROVEN, CatalogCache
from vault.catalog.contained import contained
from vault.catalog.forgotten import take_out_forgotten
from vault.catalog.hosts import has_own, intruder
from vault.catalog.prover import prove_stored
from vault.errors import Away, Damaged, NotThere, VaultError
from vault.store.base import LATER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from vault.catalog.catalog import Catalog
    from vault.store.base import Store

OTHERS_SECONDS = 7 * 86_400
"""Age at which an unfinished upload under another key counts as abandoned."""


class Survey(Stage):
    """Stage that lists all destinations at once, and the archives that wait in the spool."""

    kind: ClassVar[str] = "survey"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, Stores, CatalogCache, SpoolFolder)
    provides: ClassVar[tuple[type, ...]] = (Holdings,)

    tidy: bool = True
    """Also finish or delete what dead runs have left; the service's lock is held."""
    marks: bool = True
    """False: ignore marks of earlier damage and treat those archives as any other."""

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Provide Holdings."""
        stores, spool = run.fact(Stores), run.fact(SpoolFolder)
        with ThreadPoolExecutor(len(stores)) as threads:
            found = list(threads.map(lambda store: self._look(run, store), stores.values()))
        results = dict(zip(stores, found, strict=True))
        if self.tidy:
            results = _without_intruders(run.fact(Job), results)
        holdings = Holdings(
            {name: one for name, one in results.items() if not isinstance(one, Away)},
            {name: one for name, one in results.items() if isinstance(one, Away)},
            spool.waiting(run.fact(Keys)),
        )
        take_out_forgotten([*holdings.catalogs.values(), holdings.waiting])
        for name, catalog in holdings.catalogs.items():
            if locked := sum(item.locked for item in catalog.listed):
                count_text = f"{locked} archive{'s' * (locked != 1)}"
                run.warn(
                    f"{name} holds {count_text} of {catalog.service} under another key. If they are"
                    f" from before a new key, packrat forget {catalog.service} --other-keys deletes"
                    " them; if another machine makes them, this service needs another name"
                )
        run.provide(holdings)
        yield from ()

    def _look(self, run: Run, store: Store) -> Catalog | Away:
        """List one destination, and clean up after dead runs."""
        job, keys, cache = run.fact(Job), run.fact(Keys), run.fact(CatalogCache)
        try:
            catalog = cache.catalog(store, job.service, keys, run.check, marks=self.marks)
            if not self.tidy:
                return catalog
            if _prove_begun(run, catalog):
                catalog = cache.catalog(store, job.service, keys, run.check)
            newest = max(catalog.backups, key=lambda item: item.stored.name, default=None)
            host = newest.summary.host if newest and newest.summary else job.host
            if job.take_over or host == job.host:
                # Unfinished files are ours, since we hold the lock; but another host may be at work
                # under another key.
                long_ago = stamp(run.clock.now() // 10**9 - OTHERS_SECONDS)
                locked = any(item.locked for item in catalog.listed)
                with contained(store):
                    store.clean(job.service, long_ago if locked else LATER, run.check)
        except Away as error:
            return error
        except VaultError as error:  # for example, it says that what it has just listed is missing
            return Away(str(error), error.hint)
        return catalog

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is listed."""
        return "list every destination"


def _without_intruders(job: Job, results: dict[str, Catalog | Away]) -> dict[str, Catalog | Away]:
    """Leave out destinations whose newest backup is another host's, if this host has its own.

    If this host has none anywhere, the choice of a base reports it.
    """
    catalogs = [one for one in results.values() if not isinstance(one, Away)]
    if job.take_over or not has_own(catalogs, job.host):
        return results
    left: dict[str, Catalog | Away] = {}
    for name, one in results.items():
        left[name] = one
        if not isinstance(one, Away) and (host := intruder(one, catalogs, job.host)):
            left[name] = Away(
                f"destination {name}: the newest backup of {job.service} there,"
                f" {one.backups[-1].stored.name}, is of host {host!r}, and this is {job.host!r}",
                "move it out of that folder if it does not belong there, or give this service"
                " another name",
            )
    return left


def _prove_begun(run: Run, catalog: Catalog) -> bool:
    """Prove what a killed run published before it had read it back; raises Away."""
    job, keys, cache = run.fact(Job), run.fact(Keys), run.fact(CatalogCache)
    begun = [item.stored for item in catalog.listed if item.problem.endswith(UNPROVEN)]
    for one in begun:
        problem = ""
        try:
            prove_stored(
                catalog.destination,
                job.service,
                one,
                keys,
                lambda _: work_on(run),
                check=run.check,
            )
        except (Damaged, NotThere) as error:
            problem = str(error)
        cache.prove(catalog.destination, job.service, one, run.clock.now() / 1e9, problem)
    return bool(begun)
