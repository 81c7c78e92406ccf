"""Collect: everything below a folder, read from the file system; in reverse, written to it."""

from __future__ import annotations

import os
import stat
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import structs

from engine.stage import Stage
from stages.attributes import TYPES, read_entry, read_target, read_xattrs
from stages.errors import SourceError
from stages.exclude import Excludes
from stages.items import Kept, Piece
from stages.read import read_file, read_small
from stages.walk import Found, allow_deep_trees, walk
from stages.write import Writer
from vault.format import order, text
from vault.index import read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession, RestoreSession
    from vault.format import Block, Entry

SETTLED_NS = 2_000_000_000
"""A file's times must be this much older than the pass that recorded it to be believed."""


class Collect(Stage):
    """Reads a folder. What has not changed since the parent is not opened."""

    kind: ClassVar[str] = "collect"
    backwards: ClassVar[str] = "write"
    gives: ClassVar[type | None] = Piece

    path: str
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Folders inside `path` that are packrat's own: destinations, spool, state."""

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Piece]:
        """Walk, and read what is new; raises SourceError."""
        root = self._open()
        try:
            run.context.barrier = run.clock.now()
            yield from _Pass(self, root, run).pieces()
        finally:
            os.close(root)

    def inverse(self, pieces: Iterator[Piece], run: Run[RestoreSession]) -> Iterator[Any]:
        """Write pieces where they belong, below the session's target; raises TargetError."""
        first = next(pieces, None)  # asked for first: by then everything is laid out
        with Writer(run.context.target, run.context.layout, run.context.marker) as writer:
            writer.make_folders()
            for piece in chain([first] if first else [], pieces):
                writer.write(piece)
                run.advance(int(piece.last), len(piece.data))
            writer.finish(run.check)
            run.context.files += writer.files
            run.context.size += writer.size
            run.context.unset = writer.unset
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:
        """Say what is read."""
        if backwards:
            return "files, then owners, modes and times"
        count = f", {len(self.exclude)} exclude patterns" if self.exclude else ""
        return self.path + count

    def _open(self) -> int:
        mend = "is it mounted? Otherwise mend the service's path in the configuration"
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise SourceError(f"{self.path} does not exist", mend) from None
        except NotADirectoryError:
            raise SourceError(
                f"{self.path} is not a folder", "a service's path is the folder that holds its data"
            ) from None
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror}", mend) from None


class _Pass:
    """One pass over the source, merged with the parent's index."""

    def __init__(self, stage: Collect, root: int, run: Run[BackupSession]) -> None:
        self.stage = stage
        self.root = root
        self.run = run
        self.session = run.context
        self.files = 0
        self.linked: dict[tuple[int, int], Entry] = {}
        """Hard-linked files that were read: their other names need no reading."""

    def pieces(self) -> Iterator[Piece]:
        allow_deep_trees()
        parent = _Parent(self.session)
        never = {(s.st_dev, s.st_ino) for s in map(_stat, self.stage.never) if s}
        excludes = Excludes(self.stage.exclude)
        own = os.fstat(self.root)
        if (own.st_dev, own.st_ino) in never:
            raise SourceError(
                f"{self.stage.path} is where packrat itself writes",
                "a destination, the spool and the state need folders of their own",
            )
        for found in walk(self.root, excludes, never, self._missed):
            old = parent.unchanged(found)
            if old is not None:
                yield from self._kept(parent.keep(old))
            else:
                if parent.waits:
                    yield from self._kept(parent.release())
                yield from self._new(found)
        yield from self._kept(parent.release())
        self._look_back(parent)

    def _kept(self, pieces: list[Piece]) -> list[Piece]:
        """Count what goes on as it was."""
        for piece in pieces:
            if piece.kept:
                self.files += piece.kept.files
                self.run.advance(len(piece.kept.entries), piece.kept.size)
            else:
                self.files += piece.entry.type != "dir"
                self.run.advance(1, piece.entry.size)
        return pieces

    def _new(self, found: Found) -> Iterator[Piece]:
        """Read something that is new or has changed."""
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
            # Shares the list of chunks, too, which is complete by now.
            plain, encoded = text(found.path)
            yield Piece(structs.replace(first, path=plain, path64=encoded))
            self.run.advance(1, first.size)
            return
        for piece in read_file(found):
            yield piece
            self.run.advance(int(piece.last), len(piece.data))
            if piece.last and piece.entry.unsettled:
                self.run.warn(f"{found.path!r} changed while it was read, three times")
        if found.stat.st_nlink > 1:
            self.linked[link] = piece.entry

    def _missed(self, path: str, error: OSError) -> None:
        self.session.missed += 1
        self.run.warn(f"{path!r} is not in this backup: {error.strerror}")

    def _look_back(self, parent: _Parent) -> None:
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


class _Parent:
    """The parent's index, as a stream of blocks that goes along with the walk."""

    def __init__(self, session: BackupSession) -> None:
        self.files = 0
        self._limit = 0
        self._archives = session.usable
        self._blocks: Iterator[tuple[Block, list[Entry]]] = iter(())
        if session.parent:
            manifest = session.parent.manifest
            self.files = manifest.files
            self._limit = manifest.barrier - SETTLED_NS
            self._blocks = read_blocks(manifest.index, session.fetch, session.parent.where)
        self._block: Block | None = None
        self._entries: list[Entry] = []
        self._at = 0
        self._intact = False
        """Nothing of this block has changed so far, and its entries wait in `_waiting`."""
        self._waiting: list[Entry] = []
        self._ready: list[Piece] = []

    def unchanged(self, found: Found) -> Entry | None:
        """Give the parent's entry of this path, if nothing has touched the file since.

        Size, times and inode must be as recorded, and the times older than the pass that
        recorded them by 2 s: a write in the tick of the reading would leave them as they were.
        """
        old = self._find(found.path)
        now = found.stat
        if (
            old is not None
            and old.ctime == now.st_ctime_ns
            and old.mtime == now.st_mtime_ns
            and old.inode == now.st_ino
            and old.ctime < self._limit
            and old.mtime < self._limit
            and (old.size == now.st_size or old.type != "file")
            and not old.unsettled
            and self._usable(old)
        ):
            if old.link and old.link[0] != now.st_dev:  # device numbers change with a reboot
                old.link = (now.st_dev, now.st_ino)
                self._break()
            return old
        if self._intact:  # something new or changed stands in the middle of the block
            self._break()
        return None

    def keep(self, old: Entry) -> list[Piece]:
        """Go on with an unchanged entry: alone, or with its block once that is through."""
        if not self._intact:
            return [*self._released(), Piece(old)]
        self._waiting.append(old)
        if self._at < len(self._entries) or self._block is None:
            return []
        entries, self._waiting = self._waiting, []
        files = sum(entry.type != "dir" for entry in entries)
        size = sum(entry.size for entry in entries)
        return [*self._released(), Piece(entries[0], kept=Kept(self._block, entries, files, size))]

    def release(self) -> list[Piece]:
        """Give what waited for its block one by one: something new comes between."""
        self._break()
        return self._released()

    @property
    def waits(self) -> bool:
        """Whether `release` has something to give."""
        return bool(self._waiting or self._ready)

    def _break(self) -> None:
        """Give up the block: its entries do not go on as a whole."""
        self._intact = False
        self._ready += [Piece(entry) for entry in self._waiting]
        self._waiting = []

    def _released(self) -> list[Piece]:
        ready, self._ready = self._ready, []
        return ready

    def _find(self, path: str) -> Entry | None:
        """Go forward in the parent to a path; what it had before that is gone."""
        while True:
            while self._at < len(self._entries):
                old = self._entries[self._at]
                name = old.name
                if name == path:
                    self._at += 1
                    return old
                if order(name) > order(path):
                    return None
                self._at += 1
                self._break()
            following = next(self._blocks, None)
            if following is None:
                return None
            self._block, self._entries = following
            self._at = 0
            self._intact = True

    def _usable(self, entry: Entry) -> bool:
        for chunk in entry.chunks:  # noqa: SIM110 (a generator costs more than the answer)
            if chunk[1] not in self._archives:
                return False
        return True


def _without_data(found: Found) -> Piece:
    entry = read_entry(found.path, found.stat)
    if entry.type == "symlink":
        read_target(entry, found.name, found.folder)
    read_xattrs(entry, found.fd or f"/proc/self/fd/{found.folder}/{found.name}")
    return Piece(entry)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
