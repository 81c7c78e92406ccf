"""Spool: sealed bytes on disk between one writer and several readers, each at its own pace.

Its folder is laid out like a destination's: the growing file has an unfinished name, a whole
archive its final one. So an archive that no destination could take waits there as in another store.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from typing import TYPE_CHECKING

from vault.durable import write_all
from vault.store.base import unfinished
from vault.store.upload import UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PART_BYTES = 8 << 20
POLL_SECONDS = 0.2
PUNCH_HOLE = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
PUNCH_BYTES = 16 << 20
LAST_PART_BYTES = 32 << 20
"""A reader that lacks less than this may be waiting for a part to be full."""

_libc = ctypes.CDLL(None, use_errno=True)


class Spool:
    """Append-only file that is read while it grows.

    If the archive fits the budget, all of it stays until the end. Parts of a larger one are deleted
    once every reader has taken them, and the writer waits for the slowest reader.
    """

    def __init__(
        self, folder: str, name: str, readers: Iterable[str], max_size: int, min_free: int
    ) -> None:
        """Create the file. Raises OSError.

        `max_size` is the budget, `min_free` what must stay free on the disk, both in bytes.
        """
        self._min_free = min_free
        self._folder, self._name = folder, name
        self.path = os.path.join(folder, unfinished(name))
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._changed = threading.Condition()
        self._taken = dict.fromkeys(readers, 0)
        self._max_size = max_size
        self.whole = False
        """Nothing more comes, and all of it is still there."""
        self._ended = False
        self._claimed = False
        self.delivered = False
        """The archive has its final name at a destination."""
        self.kept = False
        """The whole archive stays under its final name, for a later run."""
        self._awaited: list[int] = []
        """Offsets that the waiting readers want to reach."""
        self.size = 0
        self.gone = 0
        """Bytes at the beginning that were deleted."""

    def write(self, offset: int, data: bytes | memoryview) -> int:
        """Write sealed bytes at their offset; return where they end, for `grow`.

        Raises OSError if the disk is full. Several threads may write at once.
        """
        write_all(self._fd, data, offset)
        return offset + len(data)

    def grow(self, size: int, check: Callable[[], None], *, hurry: bool = False) -> None:
        """Publish everything up to `size` as written; wait while the budget is used up.

        `check` is called while waiting, and may raise to end the wait. With `hurry` this does not
        wait, and the budget may be exceeded. It may also be exceeded if every reader waits for more
        than the budget has room for, as S3 does for a part. Raises OSError if the budget is used up
        and no reader is left, or if less than `min_free` of the disk is free.
        """
        disk = os.fstatvfs(self._fd)
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free:
            kept = f"{free >> 20:,} MiB are free, and min_free keeps {self._min_free >> 20:,} MiB"
            raise OSError(errno.ENOSPC, f"its disk is too full: {kept}")
        with self._changed:
            self.size = size
            self._changed.notify_all()
            while self._over() > 0 and not self._claimed and not hurry:
                if not self._taken:
                    raise OSError(errno.EDQUOT, "its max_size is used up, and nothing takes it")
                self._release()
                if sum(wanted > self.size for wanted in self._awaited) >= len(self._taken):
                    # they take more at once than the budget has room for: none would ever go on
                    break
                if self._over() > 0:
                    self._changed.wait(POLL_SECONDS)
                    check()

    def make_room(self, size: int, check: Callable[[], None]) -> None:
        """Wait until `size` more bytes fit the budget, or the readers have all but their last part.

        `check` is called while waiting, and may raise to end the wait.
        """
        with self._changed:
            while (
                self._over() + size > 0
                and not self._claimed
                and self._taken
                and self.size - min(self._taken.values()) > LAST_PART_BYTES
            ):
                self._release()
                self._changed.wait(POLL_SECONDS)
                check()

    def finish(self) -> None:
        """Mark the file as complete."""
        with self._changed:
            self._ended = True
            self.whole = not self.gone
            self._changed.notify_all()

    def ranges(self, check: Callable[[], None]) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what can be read, until the file is whole.

        `check` is called while waiting, and may raise to end the wait.
        """
        cursor = 0
        # A reader has some parts under way, and waits for one more: together they must fit the
        # budget.
        most = min(PART_BYTES, max(self._max_size // (UNDER_WAY + 1), 1))
        while True:
            with self._changed:
                if not self._ended and self.size - cursor < most:
                    self._wait_for_more(cursor + most, check)
                length = min(self.size - cursor, PART_BYTES)
                if not length:
                    return
            yield cursor, length
            cursor += length

    def take(self, reader: str, size: int) -> None:
        """Record that a reader has everything up to `size`, and will not read it again."""
        with self._changed:
            self._taken[reader] = size
            self._changed.notify_all()

    def leave(self, reader: str) -> None:
        """Record that a reader has failed: nothing waits for it any more."""
        with self._changed:
            self._taken.pop(reader, None)
            self._changed.notify_all()

    def read(self, offset: int, length: int) -> bytes:
        """Read back what was written."""
        return os.pread(self._fd, length, offset)

    def link(self, path: str) -> bool:
        """Hard-link the file, which still grows, to `path`; only the first caller may.

        Two links would be one file in two stores, and damage to one would damage both. Returns
        False if bytes are gone already, or if a link is not possible.
        """
        with self._changed:
            if self._claimed or self.gone:
                return False
            try:
                os.link(self.path, path)
            except OSError:  # another filesystem, or one without links
                return False
            self._claimed = True
            return True

    def deliver(self) -> None:
        """Record that the archive has its final name at a destination."""
        self.delivered = True

    def close(self, *, keep: bool) -> None:
        """Delete the file, or `keep` a whole archive that no destination has; raises OSError.

        A kept archive stays under its final name, for a later run.
        """
        self.kept = keep and self.whole and not self.delivered
        try:
            if self.kept:
                os.fsync(self._fd)
                os.rename(self.path, os.path.join(self._folder, self._name))
            else:
                os.unlink(self.path)
        finally:
            os.close(self._fd)

    def _wait_for_more(self, size: int, check: Callable[[], None]) -> None:
        self._awaited.append(size)
        self._changed.notify_all()
        try:
            while not self._ended and self.size < size:
                self._changed.wait(POLL_SECONDS)
                check()
        finally:
            self._awaited.remove(size)

    def _over(self) -> int:
        return self.size - self.gone - self._max_size

    def _release(self) -> None:
        """Punch a hole where every reader has read."""
        through = min(self._taken.values()) // 4096 * 4096
        if through - self.gone < max(min(PUNCH_BYTES, self._max_size // 4), 4096):
            return
        length = ctypes.c_int64(through - self.gone)
        if _libc.fallocate(self._fd, PUNCH_HOLE, ctypes.c_int64(self.gone), length):
            code = ctypes.get_errno()
            if code != errno.EOPNOTSUPP:
                raise OSError(code, os.strerror(code), self.path)
            # This filesystem keeps its bytes: the budget cannot be met, but the data is safe.
        self.gone = through
