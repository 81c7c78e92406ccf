"""Collection of everything below the roots; in reverse, the exchange with what was restored."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import (
    AtRest,
    Base,
    DowntimeClock,
    Dump,
    Dumped,
    Job,
    Present,
    RestoreJob,
    SourceReport,
    StateFolder,
    Swapped,
    Written,
)
from stages.in_place.folder import own_folders
from stages.in_place.restore import swap
from stages.in_place.staging import Staging
from stages.in_place.survey import Why
from stages.items import Piece
from stages.reads import Reads  # noqa: TC001 (pydantic reads the annotations)
from stages.root_walk import walk_root
from stages.source.previous import Previous, inherit
from stages.source.previous_index import PreviousIndex
from stages.source.reader import Reader
from stages.source.roots import HeldRoots, Roots
from stages.source.walk import Found, allow_deep_trees
from stages.source.warm_record import WarmRecord
from stages.source.warnings import SourceWarnings
from vault.archive.format import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.in_place.plan import Left
    from stages.items import Kept
    from stages.source.roots import ReadRoot


class Collect(Stage):
    """Stage that reads all roots. Files unchanged since the parent or the warm pass stay closed."""

    kind: ClassVar[str] = "collect"
    backwards: ClassVar[str] = "swap"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece
    needs: ClassVar[tuple[type, ...]] = (
        Job,
        Base,
        PreviousIndex,
        Roots,
        HeldRoots,
        DowntimeClock,
        StateFolder,
    )
    uses: ClassVar[tuple[Any, ...]] = (WarmRecord(), Dump(), Dumped(), AtRest())
    provides: ClassVar[tuple[type, ...]] = (SourceReport,)
    inverse_needs: ClassVar[tuple[type, ...]] = (
        RestoreJob,
        Roots,
        Written,
        Staging,
        StateFolder,
        DowntimeClock,
    )
    inverse_uses: ClassVar[tuple[Any, ...]] = (Present(),)
    inverse_provides: ClassVar[tuple[type, ...]] = (Swapped,)

    read: Reads | None = None
    """In a restore: what is exchanged. A backup gets it from `preflight`."""

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Pass on what was read before, then walk and read what is new; raises SourceError."""
        yield from pieces
        barrier = run.clock.now()
        one = _Pass(run)
        yield from one.pieces()
        run.provide(SourceReport(barrier, one.files, one.missed))

    def inverse(self, pieces: Iterator[Any], run: Run) -> Iterator[Any]:
        """Exchange the content of the staging folder with what is there; raises TargetError."""
        yield from pieces
        job = run.fact(RestoreJob)
        run.fact(Written)  # never replace what is there with less than the backup has
        state, roots = run.fact(StateFolder).path, run.fact(Roots)
        now, check = run.clock.now() / 1e9, lambda: self._check(run)
        loads, staging = run.fact(Present).loads, run.fact(Staging)
        done = swap(state, staging, roots.patterns, roots.never, check, now, loads)
        for left in done.left:
            run.warn(_left_text(left, job))
        run.provide(Swapped(done.folders, int(now)))

    @staticmethod
    def _check(run: Run) -> None:
        run.check()
        run.fact(DowntimeClock).check(run.clock.ticks())

    def describe(self, *, backwards: bool = False) -> str:
        """Return what is read, or exchanged."""
        if backwards:
            there = f" with what is in {self.read.describe()}" if self.read else ""
            return f"exchange what was written{there}"
        return "everything that is there now"


class _Pass:
    """Pass over the roots, merged with the parent's index."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.roots = run.fact(Roots)
        self.clock = run.fact(DowntimeClock)
        self.warm = run.fact(WarmRecord)
        self.files: dict[str, int] = {}
        self.missed = 0
        self.label = ""
        """Label of the root that is being read."""
        self.reader = Reader(run.warn, self._miss)

    def pieces(self) -> Iterator[Piece]:
        allow_deep_trees()
        previous = Previous(self.run.fact(Base), self.run.fact(PreviousIndex))
        warnings = SourceWarnings(self.run, self.run.fact(Dump).since)
        if self.roots.labelled:
            yield Piece(self._top())
        for root in self.roots.roots:
            if root.folder:
                top = self.run.fact(HeldRoots).open(root)
                try:
                    yield from self._root(root, top, previous, warnings)
                finally:
                    os.close(top)
            elif stored := self.run.fact(Dumped).entries.get(root.label):
                self.files[root.label] = len(stored) - 1
                for entry in stored:  # its data was read before the stop
                    yield Piece(entry, stored=entry.type != "dir")
        self.reader.finish()

    def _root(
        self, root: ReadRoot, top: int, previous: Previous, warnings: SourceWarnings
    ) -> Iterator[Piece]:
        self.label = root.label
        self.files[root.label] = 0
        state_dir, here = self.run.fact(StateFolder).path, os.fstat(top)
        if (here.st_dev, here.st_ino) in own_folders(state_dir, top, self.roots.never):
            raise SourceError(
                f"{root.folder} is where packrat itself writes",
                "a destination, the spool and the state need folders of their own",
            )
        at_rest = self.run.fact(AtRest).looked or self.run.fact(Dump).since is not None
        listings = self.warm.folders.get(root.label)
        for found in walk_root(state_dir, self.roots, root, top, self._miss, listings):
            if found.fd is not None:  # files check by themselves when read; checking takes time
                self.clock.check(self.run.clock.ticks())
            old = previous.unchanged(found)
            if not at_rest:
                warnings.look(found)
            if old is not None:
                if ready := previous.keep(old):
                    yield self._pass_on(ready)
                continue
            warnings.look_at_new(found, previous.last)
            if ready := previous.release():
                yield self._pass_on(ready)
            if read := self.warm.unchanged(found):
                yield self._from_warm_pass(read)
            else:
                yield from self._read(found, previous.last)
        if ready := previous.release():  # what is passed on is of one root
            yield self._pass_on(ready)

    def _top(self) -> Entry:
        """Return the folder that holds the roots, which exists in the archive only."""
        there = [os.stat(at).st_mtime_ns for at in self.roots.folders if os.path.isdir(at)]
        mtime = max(there, default=0)  # the same again if nothing changes
        return Entry(type="dir", mode=0o700, uid=os.geteuid(), gid=os.getegid(), mtime=mtime)

    def _pass_on(self, kept: Kept) -> Piece:
        """Count what goes on unchanged, and return it."""
        self.files[self.label] += kept.files
        self.run.advance(len(kept.entries), kept.size)
        return Piece(kept.entries[0], kept=kept)

    def _from_warm_pass(self, entry: Entry) -> Piece:
        """Return what the warm pass has read; `pack` knows its chunks."""
        self.files[self.label] += 1
        self.run.advance(1)
        self.reader.remember(entry)
        return Piece(entry, stored=True)

    def _read(self, found: Found, old: Entry | None) -> Iterator[Piece]:
        """Read something that is new, or has changed since the parent recorded it as `old`."""
        self.clock.check(self.run.clock.ticks())
        for piece in self.reader.read(found):
            self.clock.check(self.run.clock.ticks())
            inherit(piece.entry, old)
            yield piece
            self.files[self.label] += piece.last and piece.entry.type != "dir"
            self.run.advance(int(piece.last), len(piece.data))

    def _miss(self, path: str, error: OSError) -> None:
        self.missed += 1
        self.run.warn(f"{path!r} is not in this backup: {error.strerror or error}")


def _left_text(left: Left, job: RestoreJob) -> str:
    if left.why is Why.MOUNT:
        return (
            f"{left.path!r} was not restored: another filesystem is mounted there; packrat restore"
            f" {job.service} --backup {job.backup.id[:8]} --path {shlex.quote(left.path)} --to DIR"
            " restores it to a folder"
        )
    return (
        f"left {left.path!r} untouched: it is excluded, belongs to packrat, or contains something"
        " that is"
    )
