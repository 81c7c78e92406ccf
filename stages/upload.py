"""Upload of an archive to one destination; in reverse, the download of frames from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from engine.pool import in_order
from engine.stage import Stage
from stages.facts import Base, Job, Stores
from stages.items import Part, Place
from stages.replicas import Replicas
from vault.errors import Damaged, VaultError
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run

RANGE_BYTES = 4 << 20
GAP_BYTES = 64 << 10
"""Largest gap that is read through instead of sending a second request."""
AHEAD = 3


class Upload(Stage):
    """Stage that writes under an unlisted name; `confirm` gives the archive its final name."""

    kind: ClassVar[str] = "upload"
    backwards: ClassVar[str] = "download"
    takes: ClassVar[type | None] = Part
    gives: ClassVar[type | None] = Place
    needs: ClassVar[tuple[type, ...]] = (Job, Base, Stores, Spool)
    inverse_needs: ClassVar[tuple[type, ...]] = (Replicas,)

    destination: str

    def forward(self, parts: Iterator[Part], run: Run) -> Iterator[Place]:
        """Yield the place of the whole archive; raises Away."""
        job, name, spool = run.fact(Job), run.fact(Base).name, run.fact(Spool)
        store = run.fact(Stores)[self.destination]
        taken = 0
        try:
            for so_far in store.write(job.service, name, parts, run.check):
                run.check()
                run.advance(0, so_far - taken)
                taken = so_far
                spool.take(self.destination, so_far)
            # Inside the context, since a run may also end before the next stage has begun.
            yield Place(job.own, 0, taken)
        except BaseException:
            spool.leave(self.destination)
            with suppress(VaultError):  # the next run removes what is left
                store.discard(job.service, name)
            raise

    def inverse(self, places: Iterator[Place], run: Run) -> Iterator[Part]:
        """Fetch neighbouring frames in one range, a few ranges ahead; raises Away."""
        replicas, first = run.fact(Replicas), self.destination

        def fetch(wanted: tuple[Place, ...]) -> Part:
            start, end = wanted[0].offset, wanted[-1].offset + wanted[-1].length
            archive = wanted[0].archive
            try:
                data = replicas.read(archive, start, end - start, run.check, first)
            except Damaged:
                # A bad sector: read the frames around it one by one. Those on it prove to be
                # damaged.
                data = self._read_frames(replicas, wanted, run)
            read = partial(bytes, data)
            return Part(start, end - start, read, archive=archive, places=wanted)

        # Threads of its own: waiting for a network must not occupy the pool that keeps the cores
        # busy.
        with ThreadPoolExecutor(AHEAD) as threads:
            for part in in_order(threads, fetch, _close_together(places), AHEAD):
                run.check()
                yield part

    def describe(self, *, backwards: bool = False) -> str:
        """Return the destination."""
        return f"from {self.destination}" if backwards else f"to {self.destination}"

    def _read_frames(self, replicas: Replicas, wanted: tuple[Place, ...], run: Run) -> bytes:
        """Read frame by frame what can be read; zeros take the place of the rest."""
        start, end = wanted[0].offset, wanted[-1].offset + wanted[-1].length
        data = bytearray(end - start)
        for place in wanted:
            at = place.offset - start
            with suppress(Damaged):
                data[at : at + place.length] = replicas.read(
                    place.archive, place.offset, place.length, run.check, self.destination
                )
        return bytes(data)


def _close_together(places: Iterable[Place]) -> Iterator[tuple[Place, ...]]:
    group: list[Place] = []
    for place in places:
        if group and not (
            place.archive == group[0].archive
            and 0 <= place.offset - (group[-1].offset + group[-1].length) <= GAP_BYTES
            and place.offset + place.length - group[0].offset <= RANGE_BYTES
        ):
            yield tuple(group)
            group = []
        group.append(place)
    if group:
        yield tuple(group)
