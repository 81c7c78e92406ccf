"""Target folder of a restore: opened once, judged by its handle, and closed to everybody else.

Another user may own the folder, or one above it. From the moment the restore claims it until its
attributes are set at the end, only the caller can enter it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from stages.errors import TargetError
from stages.restore_target import linux
from stages.restore_target.folders import seal
from stages.restore_target.handles import open_service
from stages.restore_target.resume import ELSEWHERE

if TYPE_CHECKING:
    from stages.restore_target.resume import Marker


class Target:
    """Open folder that a restore writes to.

    `again` is true if the same restore was interrupted in it.
    """

    def __init__(self, path: str, fd: int, marker: Marker | None, *, again: bool) -> None:
        self.path, self.fd, self.again = path, fd, again
        self._marker = marker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle; what is written stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @classmethod
    def find(cls, path: str, marker: Marker) -> Target | None:
        """Open a target, None if it does not exist; raises TargetError if it cannot be one."""
        return cls._open(path, marker, create=False)

    @classmethod
    def make(cls, path: str, marker: Marker) -> Target:
        """Open a target, or make it; raises TargetError if it cannot be one."""
        made = cls._open(path, marker, create=True)
        assert made
        return made

    @classmethod
    def staged(cls, path: str, tree: int, *, again: bool) -> Target:
        """Return the tree of an in-place restore: its record marks it, and it is closed already."""
        return cls(path, os.dup(tree), None, again=again)

    @classmethod
    def _open(cls, path: str, marker: Marker, *, create: bool) -> Target | None:
        try:
            fd = open_service(path, create=create)
        except FileNotFoundError as error:
            if not create:
                return None
            raise TargetError(f"cannot restore to {path}: {error.strerror}", ELSEWHERE) from None
        except NotADirectoryError:
            raise TargetError(f"{path} is not a folder", ELSEWHERE) from None
        except OSError as error:
            raise TargetError(f"cannot restore to {path}: {error.strerror}", ELSEWHERE) from None
        try:
            return cls(path, fd, marker, again=marker.goes_on_in(fd, path))
        except BaseException:
            os.close(fd)
            raise

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
        with suppress(PermissionError):  # a server that does not let root be root
            seal(self.fd)
        try:
            # Looked at again: until now its owner could put something into it.
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
