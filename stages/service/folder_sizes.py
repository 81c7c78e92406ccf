"""Sizes of folders, measured within a bounded time."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class FolderSize(Struct, frozen=True):
    """Size of the files in a folder."""

    bytes: int
    complete: bool
    """False if there was no time or no permission to look at all: then it is at least that much."""


def measure_folders(folders: Iterable[str], seconds: float) -> dict[str, FolderSize]:
    """Return the size of each folder that can be read; the time is shared among them.

    A folder that does not answer, for example on a server that is away, costs only that time.
    """
    found: dict[str, FolderSize] = {}
    waiting = sorted(set(folders))
    end = time.monotonic() + seconds

    def work() -> None:
        for at, folder in enumerate(waiting):
            share = (end - time.monotonic()) / (len(waiting) - at)
            with suppress(OSError):
                for size in _measured(folder, time.monotonic() + share):
                    found[folder] = size

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds + 0.1)
    return dict(found)


def _measured(folder: str, end: float) -> Iterator[FolderSize]:
    """Yield the size so far after each folder, and at the end."""
    if not os.path.isdir(folder):
        yield FolderSize(os.stat(folder).st_size, complete=True)
        return
    size, pending, complete = 0, [folder], True
    while pending:
        yield FolderSize(size, complete=False)
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if time.monotonic() > end:
                        yield FolderSize(size, complete=False)
                        return
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
        except PermissionError:
            complete = False
        except FileNotFoundError:  # it has just been deleted
            pass
    yield FolderSize(size, complete)
