"""Spool: sealed bytes wait on disk until every destination has them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from engine.pool import AHEAD, in_order
from engine.stage import FanOut
from stages.facts import Downloaded, DowntimeClock, Job
from stages.items import Part, Sealed
from stages.restore_target.layout import Layout
from stages.source_stage import spool_error
from stages.spool_folder import SpoolFolder
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class SpoolStage(FanOut):
    """The only fan-out: each destination reads at its own pace and waits for no other."""

    kind: ClassVar[str] = "spool"
    backwards: ClassVar[str] = "cut"
    takes: ClassVar[type | None] = Sealed
    gives: ClassVar[type | None] = Part
    needs: ClassVar[tuple[type, ...]] = (Job, Spool, SpoolFolder, DowntimeClock)
    inverse_needs: ClassVar[tuple[type, ...]] = (Layout,)
    inverse_provides: ClassVar[tuple[type, ...]] = (Downloaded,)

    def describe(self, *, backwards: bool = False) -> str:
        """Return how it serves the destinations."""
        return "" if backwards else "each destination reads at its own pace"

    def forward(self, sealed: Iterator[Sealed], run: Run) -> Iterator[Part]:
        """Append everything to the spool's file; raises SourceError if its disk is full."""
        downtime = run.fact(DowntimeClock)

        def write(place: tuple[int, bytes | memoryview]) -> int:
            return run.fact(Spool).write(*place)

        try:
            # Written by the pool: the thread that drives the chain has enough to do.
            for size in in_order(run.pool, write, _placed(sealed), AHEAD):
                spool = run.fact(Spool)
                run.advance(1, size - spool.size)
                # While a container is down, reading waits for no destination.
                spool.grow(size, run.check, hurry=downtime.running)
        except OSError as error:
            raise spool_error(run.fact(SpoolFolder).path, error) from error
        run.fact(Spool).finish()
        yield from ()

    def branch(self, run: Run) -> Iterator[Part]:
        """Yield what can be read, as it arrives."""
        spool, archive = run.fact(Spool), run.fact(Job).own
        for offset, length in spool.ranges(run.check):
            read = partial(spool.read, offset, length)
            yield Part(offset, length, read, spool.link, archive=archive)

    def inverse(self, parts: Iterator[Part], run: Run) -> Iterator[Sealed]:
        """Cut downloaded ranges into the frames that are needed.

        A frame with very many required stretches comes several times, so that no item grows with
        it.
        """
        layout = run.fact(Layout)
        for part in parts:
            data = memoryview(part.read())
            run.advance(1, len(data))
            for place in part.places:
                start = place.offset - part.offset
                sealed = data[start : start + place.length]
                for wanted in layout.wanted(part.archive, place.number):
                    yield Sealed(part.archive, place.number, b"d", sealed, wanted)
        run.provide(Downloaded(run.bytes))


def _placed(sealed: Iterator[Sealed]) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield each item's bytes with their offset in the archive."""
    offset = 0
    for item in sealed:
        yield offset, item.data
        offset += len(item.data)
