"""Store in a local folder: a disk, or a mounted share."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, TypeVar

from vault.durable import make_folder, sync_folder, write_all
from vault.errors import Damaged
from vault.store.base import Check, Part, Properties, Upload, never, unfinished
from vault.store.fs import FsspecStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsspec import AbstractFileSystem

Result = TypeVar("Result")

SYNC_BYTES = 64 << 20


class Local(FsspecStore):
    """Store that links the spool's file if both are on one filesystem, and syncs what it writes.

    Reading and writing use file descriptors, because fsspec has no links, no fsync, and no error
    for a bad sector.
    """

    def __init__(self, name: str, root: str) -> None:
        """Use the folder `root`, which is created on the first write."""
        super().__init__(name, os.path.abspath(root), Properties())

    def connect(self) -> AbstractFileSystem:
        """Return a filesystem of its own."""
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(skip_instance_cache=True)

    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range; raises Damaged for a bad sector."""
        check()
        with self.guarded(f"read {service}/{name}"):
            fd = os.open(self.path(service, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, length, offset)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                # The rest of the file, and of the disk, may well be good.
                where = f"its disk cannot read byte {offset:,}"
                raise Damaged(f"{self.name}:{service}/{name}", where) from error
            finally:
                os.close(fd)

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file; the first part creates it."""
        del check
        with self.guarded(f"write {service}/{name}"):
            make_folder(self.path(service))
        return _Upload(self, f"write {service}/{name}", self.path(service, unfinished(name)))

    def place(self, service: str, name: str, check: Check = never) -> None:
        """Rename the unfinished file, and make the rename survive a power cut."""
        del check
        with self.guarded(f"publish {service}/{name}"):
            os.rename(self.path(service, unfinished(name)), self.path(service, name))
            for folder in (self.path(service), self.root):
                sync_folder(folder)

    def free(self, check: Check = never) -> int | None:
        """Return the free space of the disk."""
        del check
        with self.guarded("look at its disk"):
            found = os.statvfs(self.root)
            return found.f_bavail * found.f_frsize

    def call(
        self,
        action: str,
        work: Callable[[AbstractFileSystem], Result],
        check: Check = never,
        size: int = 0,
    ) -> Result:
        """Run `work` in this thread: a hanging disk cannot be interrupted anyway."""
        del size
        check()
        with self.guarded(action):
            return work(self._connected())


class _Upload(Upload):
    """New file, or a link to the one that the spool is still writing."""

    def __init__(self, store: Local, action: str, path: str) -> None:
        self._store, self._action, self._path = store, action, path
        self._fd: int | None = None
        self._linked = False
        self._synced = 0

    def put(self, number: int, part: Part, check: Check) -> None:
        """Write one part, unless the whole file is linked."""
        del number, check
        end = part.offset + part.length
        if self._fd is None:
            self._linked = part.link(self._path)
        data = b"" if self._linked else part.read()
        with self._store.guarded(self._action):
            if self._fd is None:
                flags = os.O_RDWR | os.O_CLOEXEC | (0 if self._linked else os.O_CREAT | os.O_EXCL)
                self._fd = os.open(self._path, flags, 0o600)
            write_all(self._fd, data, part.offset)
            if end - self._synced >= SYNC_BYTES:  # in small steps, so that the last sync is short
                os.fdatasync(self._fd)
                self._synced = end

    def finish(self, check: Check) -> None:
        """Sync the file to the disk."""
        del check
        assert self._fd is not None
        try:
            with self._store.guarded(self._action):
                os.fsync(self._fd)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
