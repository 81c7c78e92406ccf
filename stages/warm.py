"""Warm: read the bulk while the containers still run, so that they stand still for a moment."""

from __future__ import annotations

import ctypes
import os
import stat
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from engine.stage import Stage
from stages.in_place.kept import own_folders
from stages.items import Piece
from stages.source.exclude import Excludes
from stages.source.folder_cache import Listings
from stages.source.previous import Parent, border, settled, untouched
from stages.source.read import read_file, read_small
from stages.source.walk import allow_deep_trees, folders, open_source, syncfs, walk
from vault.archive.format import Entry, encode, order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession
    from stages.source.walk import Found

STAMPING = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
}
"""File systems that stamp a write through `mmap` once they were synced, by their magic number.
Elsewhere (tmpfs, FUSE, network) a database page may change under an unchanged time."""

_libc = ctypes.CDLL(None, use_errno=True)


class Warm(Stage):
    """Reads what is new or changed. Only the walk after the stop says what exists."""

    kind: ClassVar[str] = "warm"
    gives: ClassVar[type | None] = Piece

    path: str
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Piece]:
        """Give the data of files; nothing where it would not be safe to believe their times."""
        root = open_source(self.path)
        try:
            if _magic(root) not in STAMPING:
                run.warn(
                    f"{self.path} is on a file system that does not stamp every write:"
                    " all of it is read while the containers stand still"
                )
                return
            # The index is read twice, the second time while the containers stand still.
            run.context.keep_index = True
            log = run.context.warm = WarmLog(root, run.clock.now())
            allow_deep_trees()
            yield from self._read(root, run, log)
            log.rewind()
            syncfs(root)  # the second walk does so too, while the containers stand still
        finally:
            os.close(root)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say when."""
        return "read the bulk before the stop"

    def _read(self, root: int, run: Run[BackupSession], log: WarmLog) -> Iterator[Piece]:
        parent = Parent(run.context)
        excludes, never = Excludes(self.exclude), folders([*self.never, *own_folders(self.path)])
        linked = set()
        # What cannot be read is the second walk's to say.
        for found in walk(root, excludes, never, lambda *_: None, log.listings):
            state = found.stat
            if not stat.S_ISREG(state.st_mode) or not state.st_size or parent.unchanged(found):
                continue
            if state.st_nlink > 1:
                if (state.st_dev, state.st_ino) in linked:
                    continue
                linked.add((state.st_dev, state.st_ino))
            try:
                yield from self._pieces(found, run)
            except OSError:
                continue  # it went away, or cannot be read: the second walk says so

    @staticmethod
    def _pieces(found: Found, run: Run[BackupSession]) -> Iterator[Piece]:
        small = read_small(found) if found.stat.st_nlink == 1 else None
        pieces = [small] if small else read_file(found, attempts=1)
        for piece in pieces:
            yield msgspec.structs.replace(piece, warm=True)
            run.advance(int(piece.last), len(piece.data))


class WarmLog:
    """What the warm pass has read, in the order of the walk; on disk, in a file without a name."""

    def __init__(self, root: int, barrier: int) -> None:
        """`barrier`: nanoseconds since 1970, just before the pass over the open folder `root`."""
        self.listings = Listings(root, barrier)
        """The names in each folder, for the second walk."""
        self.left = 0
        """Bytes of files that must be read again, as far as is known."""
        self._border = border(barrier)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the log)
        self._next: Entry | None = None

    def add(self, entry: Entry) -> None:
        """Remember a file, all of whose chunks are stored."""
        if settled(entry, self._border):
            self._file.write(encode(entry) + b"\n")
        else:
            self.left += entry.size

    def rewind(self) -> None:
        """Go back to the beginning, for the second walk."""
        self._file.seek(0)
        self._advance()

    def unchanged(self, found: Found) -> Entry | None:
        """Give what was read at this path, if nothing has touched the file since.

        Paths are asked for in the order of the walk.
        """
        here = order(found.path)
        while self._next is not None and order(self._next.name) < here:
            self._advance()
        read = self._next
        if read is None or read.name != found.path:
            return None
        return read if untouched(read, found.stat, self._border) else None

    def _advance(self) -> None:
        line = self._file.readline()
        self._next = _decode(line) if line else None


_decode = msgspec.json.Decoder(Entry).decode


def _magic(fd: int) -> int:
    """Give the type of the file system that holds an open folder; see statfs(2)."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.fstatfs(fd, buffer):
        return 0
    return int(ctypes.c_long.from_buffer(buffer).value) & 0xFFFFFFFF
