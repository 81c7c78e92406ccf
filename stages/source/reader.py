"""Reader of new and changed files of every type, reading hard links once."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import structs

from stages.items import Piece
from stages.source.attributes import TYPES, read_entry, read_target, read_xattrs, same_state
from stages.source.read import read_file, read_small
from vault.archive.format import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stages.source.walk import Found
    from vault.archive.format import Entry

NAMED = 20
"""Files named for one kind of loss; a share without attributes may have a million."""


class Reader:
    """Reader of files, one after the other. Unreadable ones are skipped with a warning."""

    def __init__(self, warn: Callable[[str], None], missed: Callable[[str, OSError], None]) -> None:
        """Call `missed` for what is not in the backup, and `warn` for everything else."""
        self._warn = warn
        self._missed = missed
        self._losses: Counter[str] = Counter()
        self._linked: dict[tuple[int, int], Entry] = {}
        """Hard-linked files that were read; their other names need not be read."""

    def remember(self, entry: Entry) -> None:
        """Record a file that was read before as read."""
        if entry.link:
            self._linked[entry.link] = entry

    def read(self, found: Found) -> Iterator[Piece]:
        """Yield the pieces of a file; nothing if it cannot be read or is gone."""
        kind = stat.S_IFMT(found.stat.st_mode)
        if kind not in TYPES:
            self._warn(f"{found.path!r} is a socket and not backed up: its program creates it")
            return
        try:
            if kind != stat.S_IFREG:
                yield self._without_data(found)
            elif found.stat.st_nlink > 1:
                yield from self._several_names(found)
            elif piece := read_small(found, lambda what: self._lose(found.path, what)):
                yield piece
            else:
                yield from self._file(found)
        except OSError as error:
            if not is_gone(found):  # files may be deleted at any time after they were listed
                self._missed(found.path, error)

    def finish(self) -> None:
        """Warn about the number of files that `_lose` did not name."""
        for kind, count in self._losses.items():
            if count > NAMED:
                self._warn(f"{count - NAMED:,} more: {kind}")

    def _lose(self, path: str, what: str) -> None:
        """Warn about a file that is not stored as it is; `what` continues a sentence about it."""
        kind = what.partition(":")[0]
        self._losses[kind] += 1
        if self._losses[kind] <= NAMED:
            self._warn(f"{path!r} {what}")

    def _several_names(self, found: Found) -> Iterator[Piece]:
        first = self._linked.get((found.stat.st_dev, found.stat.st_ino))
        # The inode of a deleted file may be given to a new file at once.
        if first and same_state(first, found.stat):
            # Also shares the list of chunks, which is complete before the index has it.
            plain, encoded = text(found.path)
            yield Piece(structs.replace(first, path=plain, path64=encoded))
            return
        for piece in self._file(found):
            yield piece
            if piece.last:
                self.remember(piece.entry)

    def _file(self, found: Found) -> Iterator[Piece]:
        return read_file(found, report=lambda what: self._lose(found.path, what))

    def _without_data(self, found: Found) -> Piece:
        def report(what: str) -> None:
            self._lose(found.path, what)

        entry = read_entry(found.path, found.stat, report)
        if entry.type == "symlink":
            read_target(entry, found.name, found.folder)
        if found.fd is not None:
            read_xattrs(entry, found.fd, report)
            return Piece(entry)
        lost: list[str] = []
        read_xattrs(entry, f"/proc/self/fd/{found.folder}/{found.name}", lost.append)
        if lost and is_gone(found):
            raise FileNotFoundError(errno.ENOENT, "went away while it was read")
        for what in lost:  # also where /proc is not mounted
            report(what)
        return Piece(entry)


def is_gone(found: Found) -> bool:
    """Return whether the file that was found is no longer there."""
    try:
        os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False
