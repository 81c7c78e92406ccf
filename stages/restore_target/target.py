"""Target folder of a restore: opened once, checked through its handle, and closed to others.

Another user may own the folder, or one above it. From the moment the restore claims it until its
attributes are set at the end, only the caller can enter it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Self

from stages.errors import TargetError
from stages.restore_target import linux
from stages.restore_target.folders import seal
from stages.restore_target.handles import open_service
from stages.restore_target.resume import ELSEWHERE, MARKER

if TYPE_CHECKING:
    from stages.restore_target.resume import Marker


class Target:
    """Folder that a restore writes to; a resource of the run, closed by the program.

    `again` is true if the same restore was interrupted in it.
    """

    def __init__(
        self,
        path: str,
        marker: Marker | None,
        fd: int = -1,
        *,
        again: bool = False,
        archive: str = "",
    ) -> None:
        self.path, self.fd, self.again = path, fd, again
        self._marker = marker
        self._partial = f"{MARKER}{marker.archive if marker else archive}-"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @classmethod
    def staged(cls, path: str, tree: int, archive: str, *, again: bool) -> Target:
        """Return the tree of an in-place restore, which is already closed and has its record."""
        return cls(path, None, os.dup(tree), again=again, archive=archive)

    def look(self) -> bool:
        """Return whether there is something to continue; raises TargetError if it cannot be used.

        An existing folder stays open from now on, so that it cannot be swapped for another one.
        """
        if self.fd < 0:
            with suppress(FileNotFoundError):
                self._open(create=False)
        return self.again

    def partial_name(self, name: str) -> str:
        """Return the name that a file has in its folder until it is complete.

        It contains the id of the archive, so that no file of a backup can conflict with it.
        """
        return self._partial + blake2b(os.fsencode(name), digest_size=16).hexdigest()

    def name_bytes(self) -> int:
        """Return the length in bytes of the longest name that the target's filesystem takes."""
        there = os.path.abspath(self.path)
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        return os.pathconf(there, "PC_NAME_MAX")

    def make(self) -> None:
        """Open the folder, or create it; raises TargetError."""
        if self.fd < 0:
            self._open(create=True)

    def _open(self, *, create: bool) -> None:
        try:
            fd = open_service(self.path, create=create)
        except FileNotFoundError:
            raise
        except NotADirectoryError:
            raise TargetError(f"{self.path} is not a folder", ELSEWHERE) from None
        except OSError as error:
            raise TargetError(
                f"cannot restore to {self.path}: {error.strerror}", ELSEWHERE
            ) from None
        try:
            self.again = self._marker is not None and self._marker.goes_on_in(fd, self.path)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def claim(self) -> None:
        """Lock the folder, keep others out of it, and mark it; raises TargetError."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetError(
                f"another restore to {self.path} is running", "wait until it ends, or stop it"
            ) from None
        except OSError:
            pass  # a filesystem without locks
        if self._marker is None:
            return
        before = os.fstat(self.fd)
        with suppress(PermissionError):  # a server that does not give root its rights
            seal(self.fd)
        try:
            # Checked again: until now its owner could put something into it.
            self.again = self._marker.goes_on_in(self.fd, self.path)
            self._marker.write(self.fd, self.path)
        except BaseException:
            with suppress(OSError):
                os.fchown(self.fd, before.st_uid, before.st_gid)
                os.fchmod(self.fd, stat.S_IMODE(before.st_mode))
            raise

    def finish(self, *, whole: bool) -> None:
        """Write everything to the disk, then remove the marker if nothing is missing.

        Raises OSError.
        """
        linux.syncfs(self.fd)
        if whole and self._marker is not None:
            self._marker.remove(self.fd)

    def sync(self) -> None:
        """Write the removal of the marker, and the folder's own attributes, to the disk."""
        os.fsync(self.fd)


def require_room(target: str, size: int) -> None:
    """Raise TargetError if the disk of `target` has less than `size` bytes free."""
    there = os.path.abspath(target)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    if size > free:
        room = f"{size / 2**20:,.1f} MiB are needed, {free / 2**20:,.1f} MiB are free"
        raise TargetError(
            f"{target} has no room: {room}", "make room, or restore to another disk with --to"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
