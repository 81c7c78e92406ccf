"""Collect: everything below a folder, read from the file system; in reverse, written to it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import structs

from stages.errors import SourceError
from stages.in_place.kept import name_aside, own_folders
from stages.in_place.swap import from_plain, sync, to_plain
from stages.in_place.swap_plan import plan
from stages.items import Piece
from stages.journal import Journaled
from stages.restore_target.writer import Writer, require_room
from stages.source.attributes import TYPES, read_entry, read_target, read_xattrs
from stages.source.exclude import Excludes
from stages.source.previous import Parent
from stages.source.read import read_file, read_small
from stages.source.walk import Found, allow_deep_trees, folders, open_source, walk
from stages.source.warnings import Alarms
from vault.archive.format import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.run import Run
    from engine.stream import Stream
    from stages.items import Kept
    from stages.session import BackupSession, RestoreSession
    from vault.archive.format import Entry


HELD_BYTES = 80 << 20
"""Memory for what is read while containers stand still."""
ENTRY_BYTES = 800
"""About what an entry of the index takes."""


class Collect(Journaled):
    """Reads a folder. What has not changed since the parent, or the warm pass, is not opened."""

    kind: ClassVar[str] = "collect"
    backwards: ClassVar[str] = "write"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece
    may_begin: ClassVar[bool] = True
    patient: ClassVar[bool] = True

    path: str
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Folders inside `path` that are packrat's own: destinations, spool, state."""

    def forward(self, warm: Iterator[Piece], run: Run[BackupSession]) -> Iterator[Piece]:
        """Pass on what the warm pass reads; then walk, and read what is new; raises SourceError."""
        yield from warm
        run.join()  # here the containers stop
        root = open_source(self.path)
        try:
            run.context.barrier = run.clock.now()
            pieces = _Pass(self, root, run).pieces()
            still = run.context.standstill.since is not None
            yield from _read_first(pieces, run) if still else pieces
        finally:
            os.close(root)

    def inverse(self, pieces: Stream[Piece], run: Run[RestoreSession]) -> Iterator[Any]:
        """Write pieces where they belong, below the session's target; raises TargetError.

        In place, the target is a staging folder, and takes the place of what is there at the end.
        """
        pieces.wait()  # by then everything is laid out
        run.whole = run.context.layout.size  # what stands already is not written again
        require_room(run.context.target, run.whole)
        with Writer(run.context.target, run.context.layout, run.context.marker) as writer:
            writer.begin()
            for written in pieces.in_processes(writer.write):
                run.advance(writer.complete(written), written.bytes)
            writer.finish(run.check)
            run.context.files += writer.files
            run.context.size += writer.size
            run.context.unset, run.context.lost = writer.unset, writer.lost
        if run.context.in_place:
            run.context.require_whole()
            self._place(run)
        yield from ()

    def _place(self, run: Run[RestoreSession]) -> None:
        """Let the containers stop, and put what was written in its place."""
        session = run.context
        sync(session.target)  # while they still run
        run.join()
        aside = name_aside(self.path, run.clock.now() / 1e9)
        placement = plan(
            self.path,
            os.path.dirname(session.target),
            aside,
            session.paths,
            session.mtime,
            exclude=self.exclude,
            never=self.never,
        )
        session.journal.note(run.stage, self, to_plain(placement))
        for path in placement.left:
            run.warn(
                f"{path!r} stays as it is: it is excluded now, packrat's own, or holds what is"
            )
        placement.carry_out(lambda: self._may_go_on(run))
        session.aside = aside
        placement.clear()
        session.journal.done(run.stage)

    @staticmethod
    def _may_go_on(run: Run[RestoreSession]) -> None:
        run.check()
        run.context.standstill.check(run.clock.ticks())

    def put_back(self, found: dict[str, Any], _: Callable[[Any], str]) -> str:
        """Put back what a restore in place had moved; raises SourceError.

        Where it had moved all, only the journal has not heard of it: the service works with it.
        """
        placement = from_plain(found)
        if placement.placed:
            placement.clear()
            return (
                f"a restore in place died when all was in its place: {self.path} is restored, and"
                f" what was there before is in {placement.aside}"
            )
        placement.restore_old(keep_staged=True)
        return f"a restore in place died: {self.path} is as it was before"

    def moves_files(self, found: dict[str, Any]) -> bool:
        """Say whether there is something to move."""
        return not from_plain(found).placed

    def describe(self, *, backwards: bool = False) -> str:
        """Say what is read."""
        if backwards:
            return "files, then owners, modes and times"
        count = len(self.exclude)
        return self.path + (f", {count} exclude pattern{'s' * (count != 1)}" if count else "")


def _read_first(pieces: Iterator[Piece], run: Run[BackupSession]) -> Iterator[Piece]:
    """Read it all, so that the containers start, before anything is made of it.

    What is beyond HELD_BYTES goes on at once.
    """
    held: list[Piece] = []
    room = HELD_BYTES
    for piece in pieces:
        held.append(piece)
        room -= len(piece.data) + ENTRY_BYTES * (len(piece.kept.entries) if piece.kept else 1)
        if room < 0:
            yield from held
            held, room = [], HELD_BYTES
    run.finish()
    yield from held


class _Pass:
    """One pass over the source, merged with the parent's index."""

    def __init__(self, stage: Collect, root: int, run: Run[BackupSession]) -> None:
        self.stage = stage
        self.root = root
        self.run = run
        self.session = run.context
        self.warm = run.context.warm
        self.files = 0
        self.linked: dict[tuple[int, int], Entry] = {}
        """Hard-linked files that were read: their other names need no reading."""

    def pieces(self) -> Iterator[Piece]:
        allow_deep_trees()
        parent = Parent(self.session)
        alarms = Alarms(self.run)
        never = folders([*self.stage.never, *own_folders(self.stage.path)])
        excludes = Excludes(self.stage.exclude)
        own = os.fstat(self.root)
        if (own.st_dev, own.st_ino) in never:
            raise SourceError(
                f"{self.stage.path} is where packrat itself writes",
                "a destination, the spool and the state need folders of their own",
            )
        guarded = self.session.guarded
        known = self.warm.listings if self.warm else None
        for found in walk(self.root, excludes, never, self._missed, known):
            if found.fd is not None:  # and at each file that is read; asking takes its time
                self.session.standstill.check(self.run.clock.ticks())
            old = parent.unchanged(found)
            if not guarded:
                alarms.look(found)
            if old is not None:
                if ready := parent.keep(old):
                    yield self._kept(ready)
                continue
            alarms.look_at_new(found, parent.last)
            if ready := parent.release():
                yield self._kept(ready)
            if self.warm and (read := self.warm.unchanged(found)):
                yield self._read_before(read, found)
            else:
                yield from self._new(found)
        if ready := parent.release():
            yield self._kept(ready)
        self._look_back(parent)

    def _kept(self, kept: Kept) -> Piece:
        """Count what goes on as it was."""
        self.files += kept.files
        self.run.advance(len(kept.entries), kept.size)
        return Piece(kept.entries[0], kept=kept)

    def _read_before(self, entry: Entry, found: Found) -> Piece:
        """Take what the warm pass has read."""
        self.files += 1
        self.run.advance(1)
        if found.stat.st_nlink > 1:
            self.linked[found.stat.st_dev, found.stat.st_ino] = entry
        return Piece(entry)

    def _new(self, found: Found) -> Iterator[Piece]:
        """Read something that is new or has changed."""
        self.session.standstill.check(self.run.clock.ticks())
        kind = stat.S_IFMT(found.stat.st_mode)
        try:
            if kind not in TYPES:
                self.run.warn(f"{found.path!r} is a socket, which its program makes anew: skipped")
                return
            if kind != stat.S_IFREG:
                yield _without_data(found)
                self.run.advance(1)
            elif found.stat.st_nlink == 1 and (piece := read_small(found)):
                yield piece
                self.run.advance(1, len(piece.data))
            else:
                yield from self._read(found)
        except FileNotFoundError:
            return  # it went away since it was listed, as files do
        except OSError as error:
            self._missed(found.path, error)
            return
        self.files += kind != stat.S_IFDIR

    def _read(self, found: Found) -> Iterator[Piece]:
        """Read a file that is large, restless, or has several names."""
        link = (found.stat.st_dev, found.stat.st_ino)
        if first := self.linked.get(link):
            # Shares the list of chunks, too, which is complete before the index has it.
            plain, encoded = text(found.path)
            yield Piece(structs.replace(first, path=plain, path64=encoded))
            self.run.advance(1, first.size)
            return
        for piece in read_file(found):
            self.session.standstill.check(self.run.clock.ticks())
            yield piece
            self.run.advance(int(piece.last), len(piece.data))
            if piece.last and piece.entry.unsettled:
                self.run.warn(f"{found.path!r} changed while it was read, three times")
        if found.stat.st_nlink > 1:
            self.linked[link] = piece.entry

    def _missed(self, path: str, error: OSError) -> None:
        self.session.missed += 1
        self.run.warn(f"{path!r} is not in this backup: {error.strerror}")

    def _look_back(self, parent: Parent) -> None:
        """Compare with the parent: an unmounted disk must not pass for a backup."""
        had = parent.files
        if had and not self.files:
            raise SourceError(
                f"{self.stage.path} has no files, and its last backup has {had}",
                "is its disk mounted? If it is meant to be empty, put one file into it",
            )
        if self.files < had / 2:
            self.run.warn(
                f"{self.stage.path} has {self.files} files, its last backup has {had}; no old"
                " backup goes until there is a normal one, or you accept this one with"
                f" packrat backup {self.session.service} --accept-shrink"
            )


def _without_data(found: Found) -> Piece:
    entry = read_entry(found.path, found.stat)
    if entry.type == "symlink":
        read_target(entry, found.name, found.folder)
    read_xattrs(entry, found.fd or f"/proc/self/fd/{found.folder}/{found.name}")
    return Piece(entry)
