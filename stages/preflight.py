"""Preflight: see that everything is in its place before anything is stopped or dumped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.errors import SourceError
from stages.service.docker import Engine
from stages.source.walk import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession


class Preflight(Stage):
    """The path is there, the containers are there, and there is somewhere to put the backup."""

    kind: ClassVar[str] = "preflight"

    path: str
    containers: tuple[str, ...] = ()
    host: str | None = None
    max_size: int = 8 << 30
    """The spool's budget, in bytes, for the night when no destination answers."""
    min_free: int = 0

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Any]:
        """Look, and change nothing; raises SourceError."""
        os.close(open_source(self.path))
        engine = Engine(self.host)
        for name in self.containers:
            engine.look(name).require_stoppable()
        if self.containers:
            self._sharing(engine, run)
        if not run.context.catalogs:
            self._spool_alone(run)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say what is looked at."""
        what = ["the path", *(f"container {name}" for name in self.containers)]
        return f"{', '.join(what)}, and a place for the backup"

    def _sharing(self, engine: Engine, run: Run[BackupSession]) -> None:
        """Warn of a container that goes on writing to the same files."""
        for name in engine.running():
            if name not in self.containers and any(
                writes and overlap(folder, self.path) for folder, writes in engine.look(name).mounts
            ):
                run.warn(
                    f"container {name} runs on and may write to {self.path}, too: name it in"
                    " docker.containers to stop it as well"
                )

    def _spool_alone(self, run: Run[BackupSession]) -> None:
        """No destination answers: the backup must find room in the spool until one does."""
        session = run.context
        run.warn("no destination answers: the backup will wait in the spool until one does")
        folder = os.path.dirname(session.spool_path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize - self.min_free
        waiting = sum(held.stored.size for held in session.waiting.held)
        if free <= 0 or waiting >= self.max_size:
            raise SourceError(
                "no destination answers, and the spool has no more room for a backup",
                f"bring a destination back, or give the spool {folder} more room",
            )


def overlap(one: str, other: str) -> bool:
    """Say whether one folder is the other, or is inside it."""
    one, other = os.path.realpath(one), os.path.realpath(other)
    return os.path.commonpath([one, other]) in (one, other)
