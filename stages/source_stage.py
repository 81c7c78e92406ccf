"""Source: check that there is somewhere to put the backup before anything is stopped or dumped."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, ClassVar

from engine.pool import AHEAD
from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import Base, Holdings, Job
from stages.items import Piece
from stages.spool_folder import SpoolFolder
from vault.archive.format import SEGMENT_BYTES
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Source(Stage):
    """Head of the chain that reads: yields nothing, and opens the spool's file."""

    kind: ClassVar[str] = "source"
    gives: ClassVar[type | None] = Piece
    needs: ClassVar[tuple[type, ...]] = (Job, Base, Holdings, SpoolFolder)
    provides: ClassVar[tuple[type, ...]] = (Spool,)

    max_size: int = 8 << 30
    """Most bytes that wait in the spool; beyond that it waits for the slowest destination."""
    min_free: int = 0
    """Bytes of the spool's disk that stay free."""

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Piece]:
        """Open the spool and change nothing else; raises SourceError."""
        holdings = run.fact(Holdings)
        waiting = sum(item.stored.size for item in holdings.waiting.listed)
        folder = run.fact(SpoolFolder).path
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if not holdings.catalogs:
                self._require_room(folder, waiting, run)
            ahead = (AHEAD + 1) * SEGMENT_BYTES  # written before the spool decides whether to wait
            room = max(self.max_size - ahead - waiting, 0)
            job, name = run.fact(Job), run.fact(Base).name
            spool = Spool(folder, name, job.destinations, room, self.min_free)
        except OSError as error:
            raise spool_error(folder, error) from error

        def close() -> None:
            try:
                spool.close(keep=not run.cancelled)
            except OSError as error:
                if not spool.delivered:
                    raise spool_error(folder, error) from error
                run.warn(f"cannot delete {spool.path}: {error.strerror}; the next run tries again")

        run.open(spool, close)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is opened."""
        return f"a spool of at most {self.max_size / (1 << 30):.3g} GiB"

    def _require_room(self, folder: str, waiting: int, run: Run) -> None:
        """Raise SourceError if no destination answers and the spool has no room for the backup."""
        run.warn("no destination answers: the backup will wait in the spool until one does")
        if shutil.disk_usage(folder).free <= self.min_free or waiting >= self.max_size:
            raise SourceError(
                "no destination answers, and the spool has no more room for a backup",
                f"make a destination available again, or allow the spool {folder} more space",
            )


def spool_error(folder: str, error: OSError) -> SourceError:
    """Return the error for a spool that cannot be written."""
    return SourceError(
        f"cannot write the spool {folder}: {error.strerror}",
        "make room there, or change spool.path, max_size or min_free in the configuration",
    )
