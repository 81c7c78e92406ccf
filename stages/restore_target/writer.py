"""Writer of restored files: through directory handles, and never outside the target."""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from stages.errors import TargetError
from stages.restore_target.attributes import set_attributes
from stages.restore_target.files import copy_extents, open_restored
from stages.restore_target.folders import NewFolders
from stages.restore_target.resume import NEW_FILE
from stages.source.attributes import OwnerAndMode, Unset, owner_and_mode
from stages.source.walk import allow_deep_trees
from vault.archive.format import REGULAR, untext
from vault.durable import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.items import Piece
    from stages.restore_target.layout import Layout
    from stages.restore_target.target import Target
    from vault.archive.format import Entry


class Writer:
    """Writer of data as it comes, with its folders, then everything else, then the attributes."""

    def __init__(self, target: Target, layout: Layout) -> None:
        """Write to `target`, which stays its opener's to close."""
        self.layout = layout
        self.target = target.path
        self._target = target
        self.files = self.size = 0
        self.unset: defaultdict[str, Unset] = defaultdict(Unset)
        self.lost: list[str] = []
        """Files that cannot be restored."""
        self._missing: dict[str, int] = {}
        """File -> bytes still to come, for partly written files."""
        self._initial_states: dict[int, OwnerAndMode] = {}
        """Requested mode of new files -> the owner and mode that they actually had."""
        allow_deep_trees()
        self._again = target.again
        self._folders = NewFolders(target.trees, again=self._again)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._folders.close()
        if isinstance(error, OSError):
            where = f" at {os.fsdecode(error.filename)!r}" if error.filename else ""
            raise TargetError(
                f"cannot write below {self.target}{where}: {error.strerror}",
                "nothing outside it was touched; correct that and run the same command again to"
                " continue, or restore to a folder that is writable and has room",
            ) from error

    def begin(self) -> None:
        """Claim the target, and create the files that consist of several pieces.

        They get their names when they are complete: until then they have their full size, but not
        all of their data. A file of one piece is written in one call, so it needs no other name.
        Folders are created when something in them is first written.
        """
        self._target.claim()  # first, so that no file of ours is without the marker
        self._again = self._target.again
        for entry in self.layout.pieced():
            folder, name = self._folders.parent(entry.name)
            self._clear(name, folder)
            fd = self._new(self._target.partial_name(name), folder)
            try:
                os.ftruncate(fd, entry.size)
            finally:
                os.close(fd)

    def write(self, piece: Piece) -> int:
        """Write a piece, and complete its file if nothing of it is missing any more.

        Return how many files that completed.
        """
        entry = piece.entry
        folder, name = self._folders.parent(entry.name)
        at = name if piece.last else self._target.partial_name(name)
        fd = self._new(at, folder, entry.mode) if piece.last else open_restored(at, folder)
        try:
            has = self._initial_state(fd, entry.mode) if piece.last else None
            write_all(fd, piece.data, piece.offset)
            if not piece.last:
                missing = self._missing.pop(entry.name, None) or sum(n for _, n in entry.data)
                if missing > len(piece.data):
                    self._missing[entry.name] = missing - len(piece.data)
                    return 0
            self._attributes(entry, at, folder, fd, has)
        finally:
            os.close(fd)
        if not piece.last:
            os.rename(at, name, src_dir_fd=folder, dst_dir_fd=folder)
        self.files += 1
        self.size += entry.size
        return 1

    def finish(self, check: Callable[[], None]) -> None:
        """Create what has no data, then set the attributes of the folders, deepest first.

        Empty folders are created only now.
        """
        for entry in self.layout.lost():
            self._drop(entry)
        lost = set(self.lost)
        for entry, same in self.layout.without_data():
            check()
            folder, name = self._folders.parent(entry.name)
            if same is not None and same.name in lost:
                self._drop(entry)
                continue
            if same is not None:
                if not self._link(entry, same, name, folder):
                    continue
            elif not self._make(entry, name, folder):
                continue
            self.files += 1
            self.size += entry.size
        for entry in self.layout.folders(deepest_first=True):
            if not entry.name:
                continue
            folder, name = self._folders.parent(entry.name)
            fd = self._folders.enter(name, folder)
            try:
                self._attributes(entry, name, folder, fd)
            finally:
                os.close(fd)
        # The marker is removed when all is right but for the root's own attributes, since removing
        # it changes the root's time. It stays if something is missing, which the same command then
        # fetches.
        self._target.finish(whole=not self.lost)
        for entry in self.layout.folders():
            if not entry.name and (root := self._target.trees.get("")) is not None:
                self._attributes(entry, ".", root, root)
            break
        self._target.sync()

    def _drop(self, entry: Entry) -> None:
        """Delete what was written of a file that cannot be complete."""
        self.lost.append(entry.name)
        folder, name = self._folders.parent(entry.name)
        for one in (name, self._target.partial_name(name)):
            with suppress(FileNotFoundError):
                os.unlink(one, dir_fd=folder)

    def _link(self, entry: Entry, same: Entry, name: str, folder: int) -> bool:
        """Create a hard link to the file `same`; return whether that was possible."""
        source, source_name = self._folders.parent(same.name)
        self._clear(name, folder)
        try:
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:  # a device that could not be created
            if same.type not in ("char", "block"):
                raise
            self._cannot(entry, "device")
            return False
        except OSError as error:
            if error.errno != errno.EXDEV:  # their roots are on different disks
                raise
            if not self._make(entry, name, folder):
                return False
            if entry.type in REGULAR:
                self._copy(entry, (source, source_name), (folder, name))
        return True

    def _copy(self, entry: Entry, source: tuple[int, str], target: tuple[int, str]) -> None:
        """Copy the data of a restored file to an empty one, then set its attributes."""
        with ExitStack() as opened:
            old = os.open(source[1], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source[0])
            opened.callback(os.close, old)
            new = open_restored(target[1], target[0])
            opened.callback(os.close, new)
            copy_extents(old, new, entry.data)
            self._attributes(entry, target[1], target[0], new)

    def _make(self, entry: Entry, name: str, folder: int) -> bool:
        """Create an empty file, a symlink, a fifo or a device; return whether that was possible."""
        if entry.type in REGULAR:
            fd = self._new(name, folder)
            try:
                os.ftruncate(fd, entry.size)  # a file that is one hole
                self._attributes(entry, name, folder, fd)
            finally:
                os.close(fd)
            return True
        self._clear(name, folder)
        if entry.type == "symlink":
            os.symlink(untext(entry.target or "", entry.target64), name, dir_fd=folder)
        elif entry.type == "fifo":
            os.mkfifo(name, 0o600, dir_fd=folder)
        else:
            kind = stat.S_IFCHR if entry.type == "char" else stat.S_IFBLK
            try:
                os.mknod(name, kind | 0o600, os.makedev(*(entry.device or (0, 0))), dir_fd=folder)
            except (PermissionError, OverflowError):
                self._cannot(entry, "device")
                return False
        self._attributes(entry, name, folder, None)
        return True

    def _new(self, name: str, folder: int, mode: int = 0o600) -> int:
        self._clear(name, folder)
        return os.open(name, NEW_FILE, mode & 0o777, dir_fd=folder)

    def _initial_state(self, fd: int, mode: int) -> OwnerAndMode:
        """Return the owner and mode of a file as it was created, before anything was set.

        A umask, an ACL or the filesystem may have changed the mode that it was created with. They
        do so in the same way in all folders, since this restore has created those, so one check is
        enough.
        """
        if self._again or mode not in self._initial_states:
            self._initial_states[mode] = owner_and_mode(os.fstat(fd))
        return self._initial_states[mode]

    def _clear(self, name: str, folder: int) -> None:
        """Delete what an interrupted restore has left unfinished."""
        if self._again:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)

    def _attributes(
        self,
        entry: Entry,
        name: str,
        folder: int,
        fd: int | None,
        has: OwnerAndMode | None = None,
    ) -> None:
        for what in set_attributes(entry, name, folder, fd, has):
            self._cannot(entry, what)

    def _cannot(self, entry: Entry, what: str) -> None:
        self.unset[what].add(entry.name)
