"""Read one file so that what is stored is one state of it, or is flagged as not."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from stages.items import Piece
from stages.source.attributes import read_entry, read_xattrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.source.walk import Found

SMALL_BYTES = 1 << 20
BLOCK_BYTES = 4 << 20
ATTEMPTS = 3
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_small(found: Found) -> Piece | None:
    """Read a small regular file at once; None when it is large or has changed since it was found.

    Raises OSError.
    """
    before = found.stat
    if before.st_size > SMALL_BYTES or before.st_blocks * 512 < before.st_size:
        return None
    fd = _open(found.name, found.folder)
    try:
        data = os.read(fd, before.st_size + 1) if before.st_size else b""
        entry = read_entry(found.path, before)
        read_xattrs(entry, fd)
        if len(data) == before.st_size and _same(before, os.fstat(fd)):
            return Piece(entry, 0, data)
    finally:
        os.close(fd)
    return None


def read_file(found: Found, attempts: int = ATTEMPTS) -> Iterator[Piece]:
    """Give a regular file's pieces, the last of them marked so; raises OSError.

    A file that changes while it is read is read again, up to so many `attempts`; one that will not
    hold still is marked `unsettled`.
    """
    fd = _open(found.name, found.folder)
    try:
        for attempt in range(1, attempts + 1):
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(errno.ENOENT, "was replaced by something else")
            entry = read_entry(found.path, before)
            read_xattrs(entry, fd)
            extents = _extents(fd, before)
            if before.st_size and extents != [(0, before.st_size)]:
                entry.extents = extents
            settled = True
            again = attempt > 1
            for offset, length in extents:
                for at in range(offset, offset + length, BLOCK_BYTES):
                    wanted = min(BLOCK_BYTES, offset + length - at)
                    block = os.pread(fd, wanted, at)
                    if len(block) < wanted:  # cut off under us: what is missing reads as zeros
                        settled = False
                        block += bytes(wanted - len(block))
                    yield Piece(entry, at, block, last=False, again=again)
                    again = False
            settled = settled and _same(before, os.fstat(fd))
            if settled or attempt == attempts:
                entry.unsettled = not settled
                yield Piece(entry, before.st_size, again=again)
                return
    finally:
        os.close(fd)


def _open(name: str, folder: int) -> int:
    try:
        # A backup should not look like a reader; only the owner and root may ask for that.
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


def _extents(fd: int, found: os.stat_result) -> list[tuple[int, int]]:
    """Give (offset, length) of each stretch of data; holes lie between them."""
    if not found.st_size:
        return []
    if found.st_blocks * 512 >= found.st_size:
        return [(0, found.st_size)]
    extents = []
    end = 0
    while end < found.st_size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                break
            return [(0, found.st_size)]
        end = os.lseek(fd, start, os.SEEK_HOLE)
        extents.append((start, min(end, found.st_size) - start))
    return extents
