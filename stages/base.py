"""Choice of the backup that a new archive builds on, and name of the new archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import Base, Holdings, Job
from stages.keep import Keep, policy_of
from stages.replicas import Replicas
from stages.source.previous_index import PreviousIndex
from vault.archive.format import ArchiveName, stamp, unstamp
from vault.archive.keys import Keys
from vault.catalog.catalog import whole
from vault.catalog.hosts import has_own, is_of
from vault.catalog.lineage import next_lineage
from vault.catalog.record import Record
from vault.catalog.renewal import renewable
from vault.catalog.rules import Rules
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog, Listed
    from vault.store.base import Stored

AHEAD_SECONDS = 10
"""Seconds by which the newest backup may be ahead of the clock without a warning.

Backups made within one second are dated a second apart.
"""


class ChooseBase(Stage):
    """Stage that chooses this host's newest backup under this key as the parent."""

    kind: ClassVar[str] = "base"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, Record, Holdings)
    provides: ClassVar[tuple[type, ...]] = (Base, PreviousIndex)

    incremental: bool = True
    """False: refer to no other archive and store everything again."""
    keep: Keep = Rules(last=1)
    """Retention of a destination, for what is renewed: see `vault.catalog.renewal`."""
    keep_at: dict[str, Keep] = Field(default_factory=dict)
    """Destination -> what it keeps, where that differs from `keep`."""

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Provide Base and the parent's index.

        Raises SourceError if all backups are another host's, unless the job takes them over.
        """
        job, holdings = run.fact(Job), run.fact(Holdings)
        catalogs = [*holdings.catalogs.values(), holdings.waiting]
        newest = _newest(catalogs)
        if newest and newest.summary and not has_own(catalogs, job.host):
            _check_host(job, newest.summary.host)
        time = _time(run, catalogs)
        name = str(ArchiveName(job.service, time, job.archive_id[:4].hex()))
        parent = self._parent(run, holdings) if self.incremental else None
        manifest = parent.backup.manifest if parent else None
        usable = self._usable(run, parent.backup, holdings) if parent else {}
        pruned = run.fact(Record).pruned(job.service)
        host = None if job.take_over else job.host
        lineage = next_lineage(catalogs, host, run.random, pruned)
        run.provide(Base(name, time, lineage, manifest, usable))
        run.open(PreviousIndex(job.service, parent), lambda: None)
        yield from ()

    def _usable(self, run: Run, parent: Archive, holdings: Holdings) -> dict[str, Stored]:
        """Return the archives that the parent refers to, and the parent itself, if still listed.

        Their sizes are authenticated. One that a destination lists with another size is ignored: a
        new archive that stated that size could be restored from that destination only. Archives
        that are to be renewed are not referred to.
        """
        manifest, catalogs = parent.manifest, [*holdings.catalogs.values(), holdings.waiting]
        sizes = {other.id: other.size for other in manifest.archives} | {manifest.id: parent.size}
        job = run.fact(Job)
        places = [
            (catalog, policy_of(self.keep_at.get(name, self.keep), job, holdings))
            for name, catalog in holdings.catalogs.items()
        ]
        renewed = renewable(manifest, places, run.clock.now() / 1e9)
        return {
            id_: item.stored
            for catalog in catalogs
            for id_, item in catalog.referable.items()
            if id_ not in renewed and sizes.get(id_) == item.stored.size
        }

    @staticmethod
    def _parent(run: Run, holdings: Holdings) -> Replicas | None:
        """Open the newest backup that can be opened: a damaged one must prevent no later ones."""
        catalogs = [*holdings.catalogs.values(), holdings.waiting]
        for catalog in catalogs:
            for item in catalog.listed:
                if item.summary and item.problem:
                    run.warn(
                        f"{item.problem}; this backup stores again what it would have taken from it"
                    )
        job, keys = run.fact(Job), run.fact(Keys)
        found = [
            (item.stored.name, catalog)
            for item, catalog in _backups(holdings)
            if job.take_over or is_of(item, job.host)
        ]
        for name, catalog in sorted(found, key=lambda one: one[0], reverse=True):
            try:
                parent = catalog.open(name, keys)
                parent.prove_size()
            except VaultError as error:
                run.warn(f"{error}; this backup does not build on it")
            else:
                others = [other for other in catalogs if other is not catalog]
                return Replicas(parent, [catalog, *others], keys)
        return None

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what the archive builds on."""
        return "newest backup = parent" if self.incremental else "full: build on nothing"


def _backups(holdings: Holdings) -> Iterator[tuple[Listed, Catalog]]:
    """Yield the backups of each destination, and those that wait in the spool for one."""
    waiting = holdings.waiting
    for catalog in (*holdings.catalogs.values(), waiting):
        yield from ((item, catalog) for item in catalog.backups)
        referable = catalog.referable | waiting.referable
        for item in waiting.referable.values():
            if item.summary and whole(item.summary, referable):
                yield item, waiting


def _check_host(job: Job, host: str) -> None:
    if host != job.host and not job.take_over:
        raise SourceError(
            f"the backups of {job.service} are of host {host!r}, and this is {job.host!r}",
            "rename this service; or, if this machine has replaced that one:"
            f" packrat backup {job.service} --take-over",
        )


def _newest(catalogs: Iterable[Catalog]) -> Listed | None:
    backups: list[Listed] = [item for catalog in catalogs for item in catalog.backups]
    return max(backups, key=lambda item: item.stored.name, default=None)


def _time(run: Run, catalogs: Iterable[Catalog]) -> str:
    """Return the time of this backup: now, or a second after the newest archive."""
    now, job = run.clock.now() // 1_000_000_000, run.fact(Job)
    newest = max(
        (
            unstamp(item.summary.time)
            for c in catalogs
            for item in c.listed
            if item.summary and (job.take_over or is_of(item, job.host))
        ),
        default=0,
    )
    if now < newest - AHEAD_SECONDS:
        run.warn(
            f"the clock says {stamp(now)}, which is before the newest backup ({stamp(newest)});"
            " it was set back, or that backup was made with a wrong clock"
        )
    return stamp(max(now, newest + 1))
