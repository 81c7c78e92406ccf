"""Choice of the base of a new archive, and its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import Base, Holdings, Job
from stages.source.previous_index import PreviousIndex
from vault.archive.format import ArchiveName, stamp, unstamp
from vault.archive.keys import Keys
from vault.catalog.hosts import has_own, is_of
from vault.catalog.retention import replaced
from vault.errors import Damaged, NotThere

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog, Listed
    from vault.store.base import Stored

IN_A_ROW = 10
"""Backups made within one second are dated a second apart, so the newest may be this far ahead."""


class ChooseBase(Stage):
    """Stage that chooses the newest backup under this key as the parent."""

    kind: ClassVar[str] = "base"
    needs: ClassVar[tuple[type, ...]] = (Job, Keys, Holdings)
    provides: ClassVar[tuple[type, ...]] = (Base, PreviousIndex)

    incremental: bool = True
    """False: refer to no other archive and store everything again."""
    keep: int = Field(1, ge=1)
    """Number of backups that a destination keeps; little used expired archives are replaced."""

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Provide Base and the parent's index; raises SourceError for another host's backups."""
        job, keys, holdings = run.fact(Job), run.fact(Keys), run.fact(Holdings)
        catalogs = [*holdings.catalogs.values(), holdings.waiting]
        newest = _newest(catalogs)
        if newest and newest.summary and not has_own(catalogs, job.host):
            _check_host(job, newest.summary.host)
        time = _time(run, catalogs)
        name = str(ArchiveName(job.service, time, job.archive_id[:4].hex()))
        parent = self._parent(run, catalogs) if self.incremental else None
        usable = self._usable(parent, holdings) if parent else {}
        run.provide(Base(name, time, parent.manifest if parent else None, usable))
        run.open(PreviousIndex(job.service, parent, catalogs, keys), lambda: None)
        yield from ()

    def _usable(self, parent: Archive, holdings: Holdings) -> dict[str, Stored]:
        catalogs = [*holdings.catalogs.values(), holdings.waiting]
        usable = {id_: item.stored for c in catalogs for id_, item in c.referable.items()}
        for id_ in replaced(parent.manifest, holdings.catalogs.values(), self.keep):
            del usable[id_]
        return usable

    @staticmethod
    def _parent(run: Run, catalogs: list[Catalog]) -> Archive | None:
        """Open the newest backup that can be opened: a damaged one must not end all backups."""
        for catalog in catalogs:
            for item in catalog.listed:
                if item.summary and item.problem:
                    run.warn(f"{item.problem}; this backup stores again what it needs of that")
        job = run.fact(Job)
        names = {
            item.stored.name: None
            for catalog in catalogs
            for item in catalog.backups
            if job.take_over or is_of(item, job.host)
        }
        for name in sorted(names, reverse=True):
            for catalog in catalogs:
                if name in [item.stored.name for item in catalog.backups]:
                    try:
                        return catalog.open(name, run.fact(Keys))
                    except (Damaged, NotThere) as error:
                        run.warn(f"{error}; this backup does not build on it")
        return None

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what the archive builds on."""
        return "newest backup = parent" if self.incremental else "full: build on nothing"


def _check_host(job: Job, host: str) -> None:
    if host != job.host and not job.take_over:
        raise SourceError(
            f"the backups of {job.service} there are of host {host!r}, and this is {job.host!r}",
            "rename this service; or, if this machine has replaced that one:"
            f" packrat backup {job.service} --take-over",
        )


def _newest(catalogs: Iterable[Catalog]) -> Listed | None:
    backups: list[Listed] = [item for catalog in catalogs for item in catalog.backups]
    return max(backups, key=lambda item: item.stored.name, default=None)


def _time(run: Run, catalogs: Iterable[Catalog]) -> str:
    """Return the time of this backup: now, but never before the newest known one."""
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
    if now < newest - IN_A_ROW:
        run.warn(
            f"the clock says {stamp(now)}, which is before the newest backup ({stamp(newest)});"
            " it was set back, or that backup was made with a wrong clock"
        )
    return stamp(max(now, newest + 1))
