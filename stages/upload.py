"""Upload: take the archive to one destination; in reverse, fetch frames from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from engine.parallel import in_order
from engine.stage import Stage
from stages.items import Part, Place
from vault.errors import Damaged, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run
    from stages.session import BackupSession, RestoreSession

RANGE_BYTES = 4 << 20
GAP_BYTES = 64 << 10
"""Bytes that are rather read in vain than begun anew behind."""
AHEAD = 3


class Upload(Stage):
    """Writes under a name that nobody lists; `confirm` gives the archive its final one."""

    kind: ClassVar[str] = "upload"
    backwards: ClassVar[str] = "download"
    takes: ClassVar[type | None] = Part
    gives: ClassVar[type | None] = Place

    destination: str

    def forward(self, parts: Iterator[Part], run: Run[BackupSession]) -> Iterator[Place]:
        """Give the place of the whole archive; raises Away."""
        session = run.context
        destination = session.destinations[self.destination]
        taken = 0
        first = next(parts)  # the survey is over and the spool exists from here on
        assert session.spool is not None
        ranges = ((part.offset, part.length) for part in _chain(first, parts))
        try:
            for so_far in destination.receive(session.service, session.name, session.spool, ranges):
                run.check()
                run.advance(0, so_far - taken)
                taken = so_far
                session.spool.take(self.destination, so_far)
            # Inside, for a run may also be ended before what comes next has begun.
            yield Place(session.archive_id.hex(), 0, taken)
        except BaseException:
            self._clean_up(run)
            raise

    def inverse(self, places: Iterator[Place], run: Run[RestoreSession]) -> Iterator[Part]:
        """Fetch what lies close together in one range, a few ranges ahead; raises Away."""
        session = run.context

        def fetch(wanted: tuple[Place, ...]) -> Part:
            start, end = wanted[0].offset, wanted[-1].offset + wanted[-1].length
            archive = wanted[0].archive
            try:
                data = session.copies.read(archive, start, end - start)
            except Damaged:
                # A bad sector: what stands around it is read, and the frames in it prove damaged.
                data = _readable(session, wanted)
            return Part(archive, start, end - start, partial(bytes, data), wanted)

        # Threads of its own: one that waits for a network must not keep a core from its work.
        with ThreadPoolExecutor(AHEAD) as threads:
            for part in in_order(threads, fetch, _close_together(places), AHEAD):
                run.check()
                yield part

    def describe(self, *, backwards: bool = False) -> str:
        """Say where to, or where from."""
        return f"from {self.destination}" if backwards else f"to {self.destination}"

    def _clean_up(self, run: Run[BackupSession]) -> None:
        session = run.context
        assert session.spool is not None
        session.spool.leave(self.destination)
        with suppress(VaultError):  # what stays, the next run removes
            session.destinations[self.destination].discard(session.service, session.name)


def _readable(session: RestoreSession, wanted: tuple[Place, ...]) -> bytes:
    """Read frame by frame what can be read of them; zeros stand for the rest."""
    start, end = wanted[0].offset, wanted[-1].offset + wanted[-1].length
    data = bytearray(end - start)
    for place in wanted:
        with suppress(Damaged):
            found = session.copies.read(place.archive, place.offset, place.length)
            data[place.offset - start : place.offset - start + place.length] = found
    return bytes(data)


def _chain(first: Part, rest: Iterator[Part]) -> Iterator[Part]:
    yield first
    yield from rest


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
