"""Cache of the names in each folder: a second walk lists only the folders that have changed."""

from __future__ import annotations

import os

from stages.source.previous import trusted_before

LISTINGS = 3
"""Attempts to list a folder without a duplicate name."""


def listed(folder: int) -> list[str]:
    """Return the names in an open folder, each once, sorted by their bytes; raises OSError.

    XFS lists a name twice if its file is deleted and created again meanwhile, and so do some
    network filesystems. Such a folder is listed again.
    """
    for _ in range(LISTINGS):
        names = os.listdir(folder)
        once = set(names)
        if len(once) == len(names):
            break
    else:
        names = list(once)
    # Text sorts as its bytes do, except for names that are not UTF-8; ASCII is the fast case.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    return names


class Listings:
    """Names that a walk found in each folder, in memory."""

    def __init__(self, root: int, barrier: int) -> None:
        """Start with the open folder `root`; `barrier` is the time just before its walk, in ns."""
        # Filesystems other than the root's may not stamp their folders.
        self._device = os.fstat(root).st_dev
        self._trusted_before = trusted_before(barrier)
        self._known: dict[int, tuple[tuple[int, int], str]] = {}
        """Inode -> its times, and the names in it."""

    def names(self, folder: int) -> list[str]:
        """Return the names in an open folder, sorted.

        A folder's times change with every name that comes or goes. As with files, they are trusted
        if they are 2 s older than the walk: changes within one tick of the clock have the same
        time.
        """
        found = os.fstat(folder)
        times = found.st_mtime_ns, found.st_ctime_ns
        if found.st_dev != self._device or max(times) >= self._trusted_before:
            return listed(folder)
        known = self._known.get(found.st_ino)
        if known and known[0] == times:
            return known[1].split("/") if known[1] else []
        names = listed(folder)
        self._known[found.st_ino] = times, "/".join(names)
        return names
