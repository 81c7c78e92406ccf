"""Catch-up: copy to a destination the archives that it missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.stage import Link
from stages.facts import CaughtUp, Holdings, Job, Stores
from stages.keep import Keep, policy_of
from vault.archive.keys import Keys
from vault.catalog.cache import CatalogCache
from vault.catalog.lineage import lines_of
from vault.catalog.replicate import copy_archive
from vault.catalog.retention import to_copy
from vault.catalog.statements import publish_statement, read_statement
from vault.errors import Damaged, VaultError
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from engine.run import Run
    from vault.catalog.catalog import Catalog, Listed
    from vault.store.base import Stored


class CatchUp(Link):
    """Stage that passes parts on once the destination has all that retained backups need.

    It also gets the statements of other destinations: those about the line, and about forgotten
    archives.

    A destination that was away, full or is new gets the missing archives from the spool or from
    another destination: the same bytes, references first. Copying begins as soon as the
    destinations are listed.
    """

    kind: ClassVar[str] = "catch_up"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, Stores, CatalogCache, Holdings, Spool)
    provides: ClassVar[tuple[type, ...]] = (CaughtUp,)

    destination: str
    keep: Keep
    """Number of backups that the destination should have, or rules."""

    def forward(self, parts: Iterator[Any], run: Run) -> Iterator[Any]:
        """Copy what is missing, then pass the parts on; raises Away."""
        try:
            run.provide(self._catch_up(run))
        except BaseException:
            run.fact(Spool).leave(self.destination)
            raise
        yield from parts

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return the purpose of the stage."""
        return f"{self.destination} gets what it missed"

    def _catch_up(self, run: Run) -> CaughtUp:
        """Copy what is missing; return what was copied, and what could not be."""
        holdings = run.fact(Holdings)
        own = holdings.at(self.destination)
        others = [c for name, c in holdings.catalogs.items() if name != self.destination]
        sources = [holdings.waiting, *others]
        copied: list[Stored] = []
        failed: dict[str, VaultError] = {}
        for item in to_copy(own, sources, policy_of(self.keep, run.fact(Job), holdings)):
            for source in sources:
                if item.stored in [other.stored for other in source.referable.values()]:
                    try:
                        self._copy(run, source, item)
                        copied.append(item.stored)
                        failed.pop(item.stored.name, None)
                        break
                    except VaultError as error:
                        self._record_damage(run, source, item, error)
                        failed[item.stored.name] = error
                        run.warn(f"{item.stored.name} could not be copied: {error}")
        self._bring_statements(run, own, others)
        return CaughtUp(self.destination, tuple(copied), failed)

    def _bring_statements(self, run: Run, own: Catalog, others: list[Catalog]) -> None:
        """Copy the statements that the destination lacks, or has damaged."""
        job, keys = run.fact(Job), run.fact(Keys)
        lines = lines_of([own, *others], None if job.take_over else job.host)
        there = {item.stored.name for item in own.statements if not item.problem}
        for source in others:
            for item in source.statements:
                name, said = item.stored.name, item.statement
                if name in there or item.problem or said is None:
                    continue
                if said.line not in lines and said.says != "forgotten":
                    continue
                try:
                    _, data = read_statement(
                        source.destination, job.service, name, keys, check=run.check
                    )
                    store = run.fact(Stores)[self.destination]
                    publish_statement(store, job.service, name, data, keys, run.check)
                    now = run.clock.now() / 1e9
                    run.fact(CatalogCache).prove(store, job.service, item.stored, now)
                    there.add(name)
                except VaultError as error:
                    run.warn(f"{name} could not be copied: {error}")

    def _record_damage(self, run: Run, source: Catalog, item: Listed, error: VaultError) -> None:
        """Record damage at the source: the next backup stores again what it needs of it."""
        where = f"{source.destination.name}:"
        if isinstance(error, Damaged) and error.archive.startswith(where):
            now = run.clock.now() / 1e9
            cache, job = run.fact(CatalogCache), run.fact(Job)
            cache.prove(source.destination, job.service, item.stored, now, str(error))

    def _copy(self, run: Run, source: Catalog, item: Listed) -> None:
        """Copy one archive, prove it and publish it; replace a damaged one."""
        job, keys = run.fact(Job), run.fact(Keys)
        store = run.fact(Stores)[self.destination]

        def step(size: int) -> None:
            run.check()
            run.advance(0, size)

        copy_archive(source.destination, store, job.service, item.stored, keys, step, run.check)
        now = run.clock.now() / 1e9
        run.fact(CatalogCache).prove(store, job.service, item.stored, now)
        run.advance(1)
