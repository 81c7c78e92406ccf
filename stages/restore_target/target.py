"""Target of a restore: opened once, checked through its handles, and closed to others.

Another user may own the folder, or one above it. From the moment the restore claims it until its
attributes are set at the end, only the caller can enter it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections import defaultdict
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Self

from stages import linux
from stages.errors import TargetError
from stages.restore_target.folders import inherit_nothing, seal
from stages.restore_target.handles import open_service
from stages.restore_target.resume import ELSEWHERE, MARKER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stages.restore_target.resume import Marker


class Target:
    """Folder that a restore writes to, or in place one for each root.

    A resource of the run, closed by the program. `again` is true if the same restore was
    interrupted in it.
    """

    def __init__(self, path: str, marker: Marker | None, archive: str = "") -> None:
        self.path, self.again = path, False
        self.trees: dict[str, int] = {}
        """Label of a root, or "" for all of them -> the open folder that it is written to."""
        self.paths = {"": path}
        """The same -> path of the folder."""
        self._marker = marker
        self._partial = f"{MARKER}{marker.archive if marker else archive}-"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.trees:
            os.close(self.trees.popitem()[1])

    @classmethod
    def staged(cls, trees: Mapping[str, tuple[str, int]], archive: str, *, again: bool) -> Target:
        """Return the trees of an in-place restore, which are already closed and have a record.

        `trees` has the path and the open folder of each root, by its label.
        """
        target = cls(", ".join(path for path, _ in trees.values()), None, archive)
        target.again = again
        target.trees = {label: os.dup(tree) for label, (_, tree) in trees.items()}
        target.paths = {label: path for label, (path, _) in trees.items()}
        return target

    def look(self) -> bool:
        """Return whether there is something to continue; raises TargetError if it cannot be used.

        An existing folder stays open from now on, so that it cannot be swapped for another one.
        """
        if not self.trees:
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
        return min(os.pathconf(existing(path), "PC_NAME_MAX") for path in self.paths.values())

    def require_room(self, sizes: Mapping[str, int]) -> None:
        """Raise TargetError if a disk has less free than is written to it.

        `sizes` has the bytes of each root, by its label. Unfinished files of an interrupted restore
        are replaced, so what they take counts as free.
        """
        needed: defaultdict[int, int] = defaultdict(int)
        paths: dict[int, str] = {}
        for label, size in sizes.items():
            place = label if label in self.paths else ""
            there = existing(self.paths[place])
            device = os.stat(there).st_dev
            needed[device] += size
            paths.setdefault(device, self.paths[place])
        for fd in self.trees.values() if self.again else ():
            needed[os.fstat(fd).st_dev] -= self._unfinished_bytes(fd)
        for device, path in paths.items():
            require_room(path, needed[device])

    def _unfinished_bytes(self, tree: int) -> int:
        """Return what the unfinished files in an open folder take on its disk."""
        with suppress(RecursionError):  # deeper than Python 3.11 walks: then nothing counts
            return sum(
                512 * os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks
                for _, _, names, folder in os.fwalk(".", dir_fd=tree)
                for name in names
                if name.startswith(self._partial)
            )
        return 0

    def make(self) -> None:
        """Open the folder, or create it; raises TargetError."""
        if not self.trees:
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
            self.again = self._marker is not None and self._marker.goes_on(fd, self.path)
        except BaseException:
            os.close(fd)
            raise
        self.trees[""] = fd

    def claim(self) -> None:
        """Lock the folders, keep others out of them, and mark them; raises TargetError."""
        for fd in self.trees.values():
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TargetError(
                    f"another restore to {self.path} is running", "wait until it ends, or stop it"
                ) from None
            except OSError:
                pass  # a filesystem without locks
            if self._marker is not None:
                self._mark(fd, self._marker)
            inherit_nothing(fd)

    def _mark(self, fd: int, marker: Marker) -> None:
        before = os.fstat(fd)
        with suppress(PermissionError):  # a server that does not give root its rights
            seal(fd)
        try:
            # Checked again: until now its owner could put something into it.
            self.again = marker.goes_on(fd, self.path)
            marker.write(fd, self.path)
        except BaseException:
            with suppress(OSError):
                os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
            raise

    def finish(self, *, whole: bool) -> None:
        """Write everything to the disk, then remove the marker if nothing is missing.

        Raises OSError.
        """
        for fd in self.trees.values():
            linux.syncfs(fd)
            if whole and self._marker is not None:
                self._marker.remove(fd)

    def sync(self) -> None:
        """Write the removal of the marker, and the folders' own attributes, to the disk."""
        for fd in self.trees.values():
            os.fsync(fd)


def existing(path: str) -> str:
    """Return the nearest existing folder at or above a path."""
    there = os.path.abspath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    return there


def require_room(target: str, size: int) -> None:
    """Raise TargetError if the disk of `target` has less than `size` bytes free."""
    free = shutil.disk_usage(existing(target)).free
    if size > free:
        room = f"{size / 2**20:,.1f} MiB are needed, {free / 2**20:,.1f} MiB are free"
        raise TargetError(
            f"{target} has no room: {room}", "make room, or restore to another disk with --to"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
