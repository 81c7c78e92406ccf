"""Preflight: find what is backed up, and check that it is there, before anything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.containers import Containers
from stages.databases.base import Server
from stages.reads import Reads  # noqa: TC001 (pydantic reads the annotations)
from stages.service.docker import DockerEngine
from stages.service.neighbours import others, used_by
from stages.source.roots import HeldRoots, Roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run


class Preflight(Stage):
    """First stage of a backup: it changes nothing, and fails if there is nothing to back up.

    A destination that does not answer takes seconds to be given up, and this takes none.
    """

    kind: ClassVar[str] = "preflight"
    provides: ClassVar[tuple[type, ...]] = (Roots, HeldRoots)

    read: Reads
    containers: tuple[str, ...] = ()

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Look, and warn about containers that use the same files; raises SourceError."""
        roots, held = self.read.resolve(), HeldRoots()
        run.open(held, held.close)
        held.hold(roots)
        for root in roots.roots:
            if root.folder:
                os.close(held.open(root))
        for one in self.read.databases:
            one.require_ready()
        for text in roots.unread:
            run.warn(text)
        engine = DockerEngine(self.read.host)
        if names := self._names(engine):
            for name in names:
                engine.inspect(name).require_stoppable()
            self._warn_of_sharing(engine, names, roots, run)
        run.provide(roots)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is checked."""
        return ", ".join([self.read.describe(), *(f"container {one}" for one in self.containers)])

    def _names(self, engine: DockerEngine) -> list[str]:
        """Return the containers that will be stopped."""
        dumped = [one.container for one in self.read.databases if isinstance(one, Server)]
        stop = Containers(names=self.containers, compose=self.read.compose, dumped=tuple(dumped))
        return stop.all_names(engine)

    @staticmethod
    def _warn_of_sharing(
        engine: DockerEngine, names: Iterable[str], roots: Roots, run: Run
    ) -> None:
        """Warn about containers that keep writing to the same files."""
        for container in others(engine, {engine.inspect(name).id for name in names}):
            if written := used_by(container, roots.folders, writes=True):
                run.warn(
                    f"container {container.name} keeps running and may write to {written}, too:"
                    " name it in docker.containers to stop it as well"
                )
