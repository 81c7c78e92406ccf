"""Preflight: check that path and containers are there, before anything waits for a destination."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.service.docker import DockerEngine
from stages.service.neighbours import others, uses
from stages.source.walk import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Preflight(Stage):
    """First stage of a backup: it changes nothing, and fails if there is nothing to back up.

    A destination that does not answer takes seconds to be given up, and this takes none.
    """

    kind: ClassVar[str] = "preflight"

    path: str
    containers: tuple[str, ...] = ()
    host: str | None = None

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Look, and warn about containers that use the same files; raises SourceError."""
        os.close(open_source(self.path))
        if self.containers:
            engine = DockerEngine(self.host)
            for name in self.containers:
                engine.inspect(name).require_stoppable()
            self._warn_of_sharing(engine, run)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is checked."""
        return ", ".join(["the path", *(f"container {name}" for name in self.containers)])

    def _warn_of_sharing(self, engine: DockerEngine, run: Run) -> None:
        """Warn about containers that keep writing to the same files."""
        for container in others(engine, {engine.inspect(name).id for name in self.containers}):
            if uses(container, self.path, writes=True):
                run.warn(
                    f"container {container.name} keeps running and may write to {self.path}, too:"
                    " name it in docker.containers to stop it as well"
                )
