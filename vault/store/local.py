"""A local folder as a destination: a disk, or a share that is mounted."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vault.errors import Damaged, NotThere
from vault.store.base import LATER, Destination, Stored, unfinished
from vault.store.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vault.store.transfer import Source

SYNC_BYTES = 64 << 20


class Local(Destination):
    """Takes a whole archive from the spool by a link where both are on one file system."""

    def __init__(self, name: str, root: str, limit: int | None = None) -> None:
        """`limit` is the most that is written, in bytes a second; a link writes nothing."""
        super().__init__(name, os.path.abspath(root))
        self._limit = limit

    def services(self) -> list[str]:
        """Give the folders that stand here."""
        with self._border("list services"):
            try:
                return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
            except FileNotFoundError:
                return []

    def files(self, service: str) -> list[Stored]:
        """Give all regular files of a service."""
        with self._border(f"list {service}"):
            try:
                found = [e for e in os.scandir(self._path(service)) if e.is_file()]
            except FileNotFoundError:
                return []
            listed = [Stored(entry.name, entry.stat().st_size) for entry in found]
        return sorted(listed, key=lambda stored: stored.name)

    def read(self, service: str, name: str, offset: int, length: int) -> bytes:
        """Read a range."""
        with self._border(f"read {service}/{name}"):
            fd = os.open(self._path(service, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(fd, length, offset)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                # One bad sector: the rest of it, and of the disk, may well be good.
                where = f"its disk cannot read what stands at byte {offset:,}"
                raise Damaged(f"{self.name}:{service}/{name}", where) from error
            finally:
                os.close(fd)

    def size(self, service: str, name: str) -> int:
        """Give the size of a file."""
        with self._border(f"look at {service}/{name}"):
            return os.stat(self._path(service, name)).st_size

    def receive(
        self, service: str, name: str, source: Source, ranges: Iterable[tuple[int, int]]
    ) -> Iterator[int]:
        """Link the spool's file while it grows, or copy it from another file system."""
        with self._border(f"write {service}/{name}"):
            os.makedirs(self._path(service), mode=0o700, exist_ok=True)
            target = self._path(service, unfinished(name))
            copy = True
            if source.path and _same_disk(self.root, source.path) and source.claim():
                with suppress(OSError):  # a file system without links
                    os.link(source.path, target)
                    copy = False
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if copy else 0)
            fd = os.open(target, flags, 0o600)
            throttle = Throttle(self._limit)
            try:
                synced = 0
                for offset, length in ranges:
                    if copy:
                        throttle.wait(length, self.check)
                        _write_all(fd, source.read(offset, length), offset)
                    # Little by little, so that the last sync does not take long.
                    if offset + length - synced >= SYNC_BYTES:
                        os.fdatasync(fd)
                        synced = offset + length
                    yield offset + length
                os.fsync(fd)
            finally:
                os.close(fd)

    def publish(self, service: str, name: str, prove: Callable[[str], None]) -> None:
        """Prove, then rename, and make the rename survive a power cut."""
        prove(unfinished(name))
        with self._border(f"publish {service}/{name}"):
            os.rename(self._path(service, unfinished(name)), self._path(service, name))
            for folder in (self._path(service), self.root):
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def discard(self, service: str, name: str) -> None:
        """Unlink the unfinished file."""
        with suppress(NotThere):
            self.delete(service, unfinished(name))

    def clean(self, service: str, before: str = LATER) -> None:
        """Unlink unfinished files."""
        for name in self._unfinished(service, before):
            self.delete(service, name)

    def delete(self, service: str, name: str) -> None:
        """Unlink one file."""
        with self._border(f"delete {service}/{name}"):
            os.unlink(self._path(service, name))

    def probe(self, token: str) -> None:
        """Write a small file, read it back, rename and delete it."""
        first = os.path.join(self.root, f".packrat-{token}.part")
        second = os.path.join(self.root, f".packrat-{token}")
        with self._border("write, read back, rename and delete a file"):
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            try:
                with open(first, "xb") as file:
                    file.write(token.encode())
                with open(first, "rb") as file:
                    written = file.read()
                os.rename(first, second)
            finally:
                for path in (first, second):
                    if os.path.exists(path):
                        os.unlink(path)
            if written != token.encode():
                raise OSError(errno.EIO, "what was written does not read back")

    def free(self) -> int | None:
        """Give what the disk has left."""
        with self._border("look at its disk"):
            found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def _path(self, service: str, name: str = "") -> str:
        return os.path.join(self.root, service, name).rstrip("/")


def _same_disk(one: str, other: str) -> bool:
    return os.stat(one).st_dev == os.stat(other).st_dev


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
