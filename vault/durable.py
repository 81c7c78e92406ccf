"""Writes that survive a power cut."""

from __future__ import annotations

import os


def make_folder(path: str) -> None:
    """Create a private folder, and those above it, so that they stay; raises OSError."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path) or "."
    make_folder(above)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    sync_folder(above)


def sync_folder(path: str) -> None:
    """Sync the names in a folder to the disk; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all bytes at an offset; raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
