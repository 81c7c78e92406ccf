"""Survey: ask each destination what it holds, and choose what this backup builds on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.stage import Stage
from stages.errors import SourceError
from vault.archive.format import stamp, unstamp
from vault.catalog.cache import UNPROVEN
from vault.catalog.catalog import look_in_spool
from vault.catalog.proof import prove
from vault.catalog.retention import replaced
from vault.errors import Away, Damaged, NotThere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog, Held
    from vault.store.base import Destination

IN_A_ROW = 10
"""Backups made within one second are dated a second apart: the newest may be so far ahead."""
OTHERS_SECONDS = 7 * 86_400
"""What is unfinished for so long nobody goes on with."""


class Survey(Stage):
    """Lists the destinations; the newest backup under this key becomes the parent."""

    kind: ClassVar[str] = "survey"

    incremental: bool = True
    """False: refer to nothing, store everything again."""
    keep: int = Field(1, ge=1)
    """How many backups a destination keeps: what is older and little used is replaced."""

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Any]:
        """Fill in the session; raises SourceError for another host's backups."""
        session = run.context
        self._look(run)
        catalogs = [*session.catalogs.values(), session.waiting]
        newest = _newest(catalogs)
        if newest and newest.summary and newest.summary.host != session.host:
            self._other_host(session, newest.summary.host)
        session.time = _time(run, catalogs)
        if self.incremental:
            self._build_on(run, catalogs)
        yield from ()

    @staticmethod
    def _look(run: Run[BackupSession]) -> None:
        """List all destinations at once, and what waits in the spool."""
        session = run.context
        long_ago = stamp(run.clock.now() // 10**9 - OTHERS_SECONDS)

        def look(destination: Destination) -> Catalog | Away:
            try:
                catalog = session.cache.catalog(destination, session.service, session.keys)
                if _prove_begun(run, catalog):
                    catalog = session.cache.catalog(destination, session.service, session.keys)
                newest = _newest([catalog])
                if not newest or session.take_over or newest.summary.host == session.host:  # type: ignore[union-attr]
                    locked = any(held.locked for held in catalog.held)
                    # Ours: we hold the lock. Under another key somebody else may be at work.
                    destination.clean(session.service, *([long_ago] if locked else []))
            except Away as error:
                return error
            return catalog

        with ThreadPoolExecutor(len(session.destinations)) as threads:
            found = threads.map(look, session.destinations.values())
        for name, result in zip(session.destinations, found, strict=True):
            if isinstance(result, Away):
                session.away[name] = result
            else:
                session.catalogs[name] = result
                if locked := sum(held.locked for held in result.held):
                    run.warn(
                        f"{name} holds {locked} of {session.service} under another key, which stay:"
                        " they are from before a new key; or another machine's, and then this"
                        " service needs another name"
                    )
        session.waiting = look_in_spool(session.waiting, session.keys)

    def _build_on(self, run: Run[BackupSession], catalogs: list[Catalog]) -> None:
        """Choose the newest backup that opens; one that has rotted must not end all backups."""
        session = run.context
        for catalog in catalogs:
            for held in catalog.held:
                if held.summary and held.problem:
                    run.warn(f"{held.problem}; this backup stores anew what it needs of that")
        session.parent = self._parent(run, catalogs)
        if not session.parent:
            return
        for catalog in catalogs:
            session.usable |= {id_: held.stored for id_, held in catalog.standing.items()}
        for id_ in replaced(session.parent.manifest, session.catalogs.values(), self.keep):
            del session.usable[id_]

    @staticmethod
    def _parent(run: Run[BackupSession], catalogs: list[Catalog]) -> Archive | None:
        names = {held.stored.name: None for catalog in catalogs for held in catalog.backups}
        for name in sorted(names, reverse=True):
            for catalog in catalogs:
                if name in [held.stored.name for held in catalog.backups]:
                    try:
                        return catalog.open(name, run.context.keys)
                    except (Damaged, NotThere) as error:
                        run.warn(f"{error}; this backup does not build on it")
        return None

    @staticmethod
    def _other_host(session: BackupSession, host: str) -> None:
        if not session.take_over:
            raise SourceError(
                f"the backups of {session.service} there are of host {host!r},"
                f" and this is {session.host!r}",
                "give this service another name; or, if this machine has replaced that one:"
                f" packrat backup {session.service} --take-over",
            )

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say what is built on."""
        return "newest backup = parent" if self.incremental else "full: build on nothing"


def _prove_begun(run: Run[BackupSession], catalog: Catalog) -> bool:
    """Prove what a run published that was killed before it had read it back; raises Away."""
    session, destination = run.context, catalog.destination
    begun = [held.stored for held in catalog.held if held.problem.endswith(UNPROVEN)]
    for one in begun:
        problem = ""
        try:
            prove(destination, session.service, one, session.keys, lambda _: run.check())
        except (Damaged, NotThere) as error:
            problem = str(error)
        now = run.clock.now() / 1e9
        session.cache.prove(destination, session.service, one, now, problem)
    return bool(begun)


def _newest(catalogs: Any) -> Held | None:
    backups: list[Held] = [held for catalog in catalogs for held in catalog.backups]
    return max(backups, key=lambda held: held.stored.name, default=None)


def _time(run: Run[BackupSession], catalogs: Any) -> str:
    """Give the time of this backup: now, but never before the newest known one."""
    now = run.clock.now() // 1_000_000_000
    known: list[Catalog] = list(catalogs)
    newest = max(
        (unstamp(held.summary.time) for c in known for held in c.held if held.summary), default=0
    )
    if now < newest - IN_A_ROW:
        run.warn(
            f"the clock says {stamp(now)}, which is before the newest backup ({stamp(newest)});"
            " it was set back, or that backup was made with a wrong clock"
        )
    return stamp(max(now, newest + 1))
