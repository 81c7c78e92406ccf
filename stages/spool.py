"""Spool: sealed bytes wait on disk until every destination has them."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from engine.parallel import AHEAD, in_order
from engine.stage import FanOut
from stages.errors import SourceError
from stages.items import Part, Sealed
from vault.archive.format import SEGMENT_BYTES
from vault.spool import POLL_SECONDS, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession, RestoreSession


class SpoolStage(FanOut):
    """The one fan-out: each destination reads at its own pace, and none waits for another."""

    kind: ClassVar[str] = "spool"
    backwards: ClassVar[str] = "cut"
    takes: ClassVar[type | None] = Sealed
    gives: ClassVar[type | None] = Part

    max_size: int = 8 << 30
    """Bytes that wait at the most; what is beyond waits for the slowest destination."""
    min_free: int = 0
    """Bytes of the spool's disk that stay free."""

    def describe(self, *, backwards: bool = False) -> str:
        """Say how much waits."""
        if backwards:
            return ""
        return f"at most {self.max_size / (1 << 30):.3g} GiB wait for slow destinations"

    def forward(self, sealed: Iterator[Sealed], run: Run[BackupSession]) -> Iterator[Part]:
        """Append everything to the spool's file; raises SourceError when its disk is full."""
        session = run.context

        def write(place: tuple[int, bytes | memoryview]) -> int:
            return spool.write(*place)

        ahead = (AHEAD + 1) * SEGMENT_BYTES  # written before the spool is asked whether to wait
        try:
            os.makedirs(session.spool_path, mode=0o700, exist_ok=True)
            spool = session.spool = Spool(
                session.spool_path,
                session.name,
                session.readers,
                max(self.max_size - ahead - sum(h.stored.size for h in session.waiting.held), 0),
                self.min_free,
            )
            session.spooling.set()
            # Written by the pool: the thread that drives the chain has enough to do.
            for size in in_order(run.pool, write, _placed(sealed), AHEAD):
                run.advance(1, size - spool.size)
                # While a container is down, reading waits for no destination.
                spool.grow(size, run.check, hurry=session.standstill.since is not None)
        except OSError as error:
            raise SourceError(
                f"cannot write the spool {session.spool_path}: {error.strerror}",
                "make room there, or change spool.path, max_size or min_free in the configuration",
            ) from error
        spool.finish()
        yield from ()

    def branch(self, run: Run[BackupSession]) -> Iterator[Part]:
        """Give what there is to read, as it comes."""
        session = run.context
        while not session.spooling.wait(POLL_SECONDS):
            run.check()
        spool = session.spool
        assert spool is not None
        for offset, length in spool.ranges(run.check):
            yield Part(
                session.archive_id.hex(), offset, length, partial(spool.read, offset, length)
            )

    def inverse(self, parts: Iterator[Part], run: Run[RestoreSession]) -> Iterator[Sealed]:
        """Cut what was downloaded into the frames that are wanted of it.

        A frame of which very much is wanted comes several times, so that no item grows with it.
        """
        layout = run.context.layout
        for part in parts:
            data = memoryview(part.read())
            run.context.downloaded += len(data)
            run.advance(1, len(data))
            for place in part.places:
                start = place.offset - part.offset
                sealed = data[start : start + place.length]
                for wanted in layout.wanted(part.archive, place.number):
                    yield Sealed(part.archive, place.number, b"d", sealed, wanted)


def _placed(sealed: Iterator[Sealed]) -> Iterator[tuple[int, bytes | memoryview]]:
    """Give each item's bytes with the offset where they go."""
    offset = 0
    for item in sealed:
        yield offset, item.data
        offset += len(item.data)
