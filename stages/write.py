"""Write what is restored, by directory handles, and never outside the target."""

from __future__ import annotations

import os
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Self

from stages.attributes import set_attributes
from stages.errors import TargetError
from stages.walk import OPEN_FOLDER, allow_deep_trees
from vault.errors import Damaged
from vault.format import untext

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from stages.items import Piece
    from stages.layout import Layout
    from vault.format import Entry

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
HANDLES = 256


class Writer:
    """Makes the folders, then the data as it comes, then everything else, then the attributes."""

    def __init__(self, target: str, layout: Layout) -> None:
        """`target` must be empty or not exist; raises TargetError."""
        self.layout = layout
        self.target = target
        self.files = self.size = 0
        self.unset: defaultdict[str, int] = defaultdict(int)
        self._folders: OrderedDict[str, int] = OrderedDict()
        self._begun: set[str] = set()
        """Files of which some pieces have come and others have not."""
        self._open: tuple[str, int] | None = None
        elsewhere = "restore to a new folder with --to, then compare"
        if os.path.lexists(target) and not os.path.isdir(target):
            raise TargetError(f"{target} is not a folder", elsewhere)
        try:
            os.makedirs(target, exist_ok=True)
            self._root = os.open(target, OPEN_FOLDER)
        except OSError as error:
            raise TargetError(f"cannot restore to {target}: {error.strerror}", elsewhere) from None
        if os.listdir(self._root):
            raise TargetError(f"{target} is not empty", elsewhere)
        allow_deep_trees()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close_file()
        for fd in [*self._folders.values(), self._root]:
            os.close(fd)
        if isinstance(error, OSError):
            where = f" at {os.fsdecode(error.filename)!r}" if error.filename else ""
            raise TargetError(
                f"cannot write below {self.target}{where}: {error.strerror}",
                "nothing outside it was touched; delete what is there, and restore to a folder"
                " that can be written and has room",
            ) from error

    def make_folders(self) -> None:
        """Make all folders, closed to others until they are done."""
        for entry in self.layout.folders():
            if entry.name:
                folder, name = self._parent(entry.name)
                os.mkdir(name, 0o700, dir_fd=folder)

    def write(self, piece: Piece) -> None:
        """Write a piece where it belongs; the last one of a file completes it."""
        entry = piece.entry
        path = entry.name
        if piece.last and path not in self._begun and piece.entry.extents is None:
            folder, name = self._parent(path)
            fd = os.open(name, NEW_FILE, 0o600, dir_fd=folder)
            try:
                _write_all(fd, piece.data, 0)
                set_attributes(entry, name, folder, fd, self._cannot)
            finally:
                os.close(fd)
            self._count(entry)
            return
        fd = self._file(entry)
        _write_all(fd, piece.data, piece.offset)
        if piece.last:
            folder, name = self._parent(path)
            set_attributes(entry, name, folder, fd, self._cannot)
            self._close_file()
            self._begun.discard(path)
            self._count(entry)

    def finish(self, check: Callable[[], None]) -> None:
        """Make what has no data, then set the attributes of the folders, deepest first."""
        for entry, same in self.layout.without_data():
            check()
            folder, name = self._parent(entry.name)
            if same is not None:
                source, source_name = self._parent(same.name)
                os.link(
                    source_name,
                    name,
                    src_dir_fd=source,
                    dst_dir_fd=folder,
                    follow_symlinks=False,
                )
            elif not self._make(entry, name, folder):
                continue
            self._count(entry)
        for entry in self.layout.folders(deepest_first=True):
            if not entry.name:
                set_attributes(entry, ".", self._root, self._root, self._cannot)
                continue
            folder, name = self._parent(entry.name)
            fd = os.open(name, OPEN_FOLDER, dir_fd=folder)
            try:
                set_attributes(entry, name, folder, fd, self._cannot)
            finally:
                os.close(fd)

    def _make(self, entry: Entry, name: str, folder: int) -> bool:
        """Make an empty file, a symlink, a fifo or a device; says whether it could be made."""
        if entry.type == "file":
            fd = os.open(name, NEW_FILE, 0o600, dir_fd=folder)
            try:
                os.ftruncate(fd, entry.size)  # a file that is one hole
                set_attributes(entry, name, folder, fd, self._cannot)
            finally:
                os.close(fd)
            return True
        if entry.type == "symlink":
            os.symlink(untext(entry.target or "", entry.target64), name, dir_fd=folder)
        elif entry.type == "fifo":
            os.mkfifo(name, 0o600, dir_fd=folder)
        else:
            import stat

            kind = stat.S_IFCHR if entry.type == "char" else stat.S_IFBLK
            try:
                os.mknod(name, kind | 0o600, os.makedev(*(entry.device or (0, 0))), dir_fd=folder)
            except PermissionError:
                self._cannot("device")
                return False
        set_attributes(entry, name, folder, None, self._cannot)
        return True

    def _parent(self, path: str) -> tuple[int, str]:
        """Give the open folder of a path, and its last name; raises Damaged for a hostile path.

        Every step is opened below the one before and follows no link, so that nothing an archive
        says, and nobody who changes the tree meanwhile, leads outside.
        """
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or "\0" in name:
            raise Damaged(
                repr(path), "is no path that a backup can hold; nothing was written there"
            )
        if not folder:
            return self._root, name
        fd = self._folders.get(folder)
        if fd is None:
            above, own = self._parent(folder)
            fd = os.open(own, OPEN_FOLDER, dir_fd=above)
            self._folders[folder] = fd
            if len(self._folders) > HANDLES:
                _, old = self._folders.popitem(last=False)
                os.close(old)
        else:
            self._folders.move_to_end(folder)
        return fd, name

    def _file(self, entry: Entry) -> int:
        path = entry.name
        if self._open and self._open[0] == path:
            return self._open[1]
        self._close_file()
        folder, name = self._parent(path)
        if path in self._begun:
            fd = os.open(name, OLD_FILE, dir_fd=folder)
        else:
            fd = os.open(name, NEW_FILE, 0o600, dir_fd=folder)
            os.ftruncate(fd, entry.size)
            self._begun.add(path)
        self._open = (path, fd)
        return fd

    def _close_file(self) -> None:
        if self._open:
            os.close(self._open[1])
            self._open = None

    def _count(self, entry: Entry) -> None:
        self.files += 1
        self.size += entry.size

    def _cannot(self, what: str) -> None:
        self.unset[what] += 1


def require_room(target: str, size: int) -> None:
    """Raise TargetError when the disk of `target` has not `size` bytes free."""
    there = target
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    if size > free:
        raise TargetError(
            f"{target} has no room: {size:,} bytes are needed, {free:,} are free",
            "make room, or restore to another disk with --to",
        )


def _write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
