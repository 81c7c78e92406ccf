"""Reading of one file: the stored content is one state of it, or is flagged as not."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from stages.items import Piece
from stages.source.attributes import ignore, read_entry, read_xattrs
from stages.source.extents import cut_off, data_extents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.source.attributes import Report
    from stages.source.walk import Found

SMALL_BYTES = 1 << 20
BLOCK_BYTES = 4 << 20
ATTEMPTS = 3
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Without O_NONBLOCK, a fifo that replaces a file would block the backup for ever."""


def read_small(found: Found, report: Report = ignore) -> Piece | None:
    """Read a small regular file at once; return None if it is large or has changed since.

    Properties that are not stored are reported. Raises OSError.
    """
    before = found.stat
    if before.st_size > SMALL_BYTES or before.st_blocks * 512 < before.st_size:
        return None
    lost: list[str] = []
    fd = _open(found.name, found.folder)
    try:
        data = os.read(fd, before.st_size + 1)
        entry = read_entry(found.path, before, lost.append)
        read_xattrs(entry, fd, lost.append)
        if len(data) != before.st_size or not _same(before, os.fstat(fd)):
            return None
    finally:
        os.close(fd)
    for what in lost:
        report(what)
    return Piece(entry, 0, data)


def read_file(found: Found, attempts: int = ATTEMPTS, report: Report = ignore) -> Iterator[Piece]:
    """Yield a regular file's pieces, the last one marked; raises OSError.

    A file that changes while it is read is read again, at most `attempts` times. One that keeps
    changing, or is shorter than its size says, is marked `unsettled` and reported.
    """
    fd = _open(found.name, found.folder)
    try:
        for attempt in range(1, attempts + 1):
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(errno.ENOENT, "was replaced while it was read")
            lost: list[str] = []
            entry = read_entry(found.path, before, lost.append)
            read_xattrs(entry, fd, lost.append)
            extents = data_extents(fd, before)
            if before.st_size and extents != [(0, before.st_size)]:
                entry.extents = extents
            end = None
            again = attempt > 1
            for at, block in _blocks(fd, extents):
                if not block:
                    end = at
                    break
                yield Piece(entry, at, block, last=False, again=again)
                again = False
            stable = _same(before, os.fstat(fd))
            if attempt < attempts and (not stable or end is not None):
                continue
            if not stable:
                lost.append(f"changed while it was read, {attempts} times")
            elif end is not None:
                lost.append(f"ends after {end:,} of the {before.st_size:,} bytes that it reports")
            elif os.pread(fd, 1, before.st_size):
                lost.append(f"has more than the {before.st_size:,} bytes that it reports")
                stable = False
            if end is not None:
                entry.size = end
                entry.extents = cut_off(extents, end) if entry.extents is not None else None
                stable = False
            entry.unsettled = entry.unsettled or not stable
            for what in lost:
                report(what)
            yield Piece(entry, entry.size, again=again)
            return
    finally:
        os.close(fd)


def _blocks(fd: int, extents: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, data) of all extents; empty data where the file ends too early."""
    for offset, length in extents:
        at, stop = offset, offset + length
        while at < stop:
            block = os.pread(fd, min(BLOCK_BYTES, stop - at), at)
            yield at, block
            at += len(block)


def _open(name: str, folder: int) -> int:
    try:
        # A backup should not change access times; only the owner and root may ask for that.
        return os.open(name, OPEN_FILE | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        return os.open(name, OPEN_FILE, dir_fd=folder)


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (
        before.st_ino == after.st_ino
        and before.st_size == after.st_size
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_ctime_ns == after.st_ctime_ns
    )
