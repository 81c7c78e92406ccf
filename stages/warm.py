"""Warm pass: read most data while the containers still run, so that they stop only briefly."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, ClassVar

import msgspec

from engine.stage import Stage
from stages import linux
from stages.facts import Base, ScratchFolder, StateFolder
from stages.items import Piece
from stages.root_walk import walk_root
from stages.source.previous import Previous, inherit
from stages.source.previous_index import PreviousIndex
from stages.source.read import read_file, read_small
from stages.source.roots import HeldRoots, Roots
from stages.source.walk import allow_deep_trees, syncfs
from stages.source.warm_record import WarmRecord
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.source.roots import ReadRoot
    from stages.source.walk import Found

STAMPING = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
}
"""Magic numbers of filesystems that stamp a write through `mmap` once they are synced. On others
(tmpfs, FUSE, network) a database page may change under an unchanged time."""


class Warm(Stage):
    """Stage that reads new and changed files. Only the walk after the stop decides what exists."""

    kind: ClassVar[str] = "warm"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece
    needs: ClassVar[tuple[type, ...]] = (
        Base,
        PreviousIndex,
        Roots,
        HeldRoots,
        Spool,
        StateFolder,
        ScratchFolder,
    )
    provides: ClassVar[tuple[type, ...]] = (WarmRecord,)

    bulk: bool = True
    """False: read no files, only prepare for the stop."""

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Yield the data of files, unless it would not be safe to trust their times.

        Then prepare what the stopped containers would otherwise wait for: the beginning of the
        parent's index, and room in the spool.
        """
        yield from pieces
        record = WarmRecord(run.clock.now(), run.fact(ScratchFolder).folder)
        run.open(record, record.close)
        if self.bulk:
            run.fact(PreviousIndex).keep()
            allow_deep_trees()
            previous = Previous(run.fact(Base), run.fact(PreviousIndex))
            for root in run.fact(Roots).roots:
                yield from self._root(root, run, record, previous)
        run.fact(PreviousIndex).read_ahead(run.check)
        if record.covers:
            run.fact(Spool).make_room(record.left, run.check)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return the purpose of the stage."""
        return "read the bulk before the stop" if self.bulk else "get ready for the stop"

    def _root(
        self, root: ReadRoot, run: Run, record: WarmRecord, previous: Previous
    ) -> Iterator[Piece]:
        if not root.folder:
            return
        top = run.fact(HeldRoots).open(root)
        try:
            if linux.filesystem_type(top) not in STAMPING:
                run.warn(
                    f"{root.folder} is on a file system that does not stamp every write:"
                    " all of it is read while the containers are down"
                )
                return
            record.cover(root.label, top)
            yield from self._read(root, top, run, record, previous)
            syncfs(top)  # the second walk syncs as well, and then has less to wait for
        finally:
            os.close(top)

    def _read(
        self, root: ReadRoot, top: int, run: Run, record: WarmRecord, previous: Previous
    ) -> Iterator[Piece]:
        linked = set()
        state_dir, folder_cache = run.fact(StateFolder).path, record.folders.get(root.label)
        # Files that cannot be read are reported by the second walk.
        for found in walk_root(state_dir, run.fact(Roots), root, top, folder_cache=folder_cache):
            state = found.stat
            if not stat.S_ISREG(state.st_mode) or not state.st_size or previous.unchanged(found):
                continue
            if state.st_nlink > 1:
                if (state.st_dev, state.st_ino) in linked:
                    continue
                linked.add((state.st_dev, state.st_ino))
            try:
                for piece in self._pieces(found, run, record):
                    inherit(piece.entry, previous.last)
                    yield piece
            except OSError:
                continue  # deleted or unreadable: the second walk reports it

    @staticmethod
    def _pieces(found: Found, run: Run, record: WarmRecord) -> Iterator[Piece]:
        small = read_small(found) if found.stat.st_nlink == 1 else None
        pieces = [small] if small else read_file(found, attempts=1)
        for piece in pieces:
            yield msgspec.structs.replace(piece, early=True)
            run.advance(int(piece.last), len(piece.data))
            if piece.last:
                record.add(piece.entry)
