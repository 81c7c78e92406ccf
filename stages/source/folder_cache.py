"""Cache of the names in each folder: a second walk lists only the folders that have changed."""

from __future__ import annotations

import os

from stages.source.previous import border

LISTINGS = 3
"""Attempts to list a folder without a name that comes twice."""


def listed(folder: int) -> list[str]:
    """Return the names in an open folder, each once, sorted by their bytes; raises OSError.

    XFS lists a name twice when its file is deleted and created again meanwhile, and so do some
    network file systems: such a folder is listed again.
    """
    for _ in range(LISTINGS):
        names = os.listdir(folder)
        once = set(names)
        if len(once) == len(names):
            break
    else:
        names = list(once)
    # Text sorts as its bytes do, but for names that are not UTF-8; ASCII is the quick case.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    return names


class Listings:
    """What a walk found in each folder; in memory, some bytes more than the names."""

    def __init__(self, root: int, barrier: int) -> None:
        """`barrier`: nanoseconds since 1970, just before the walk of the open folder `root`."""
        # Another file system than the root's may be one that does not stamp its folders.
        self._device = os.fstat(root).st_dev
        self._border = border(barrier)
        self._known: dict[int, tuple[tuple[int, int], str]] = {}
        """Inode -> its times, its names."""

    def names(self, folder: int) -> list[str]:
        """Give the names in an open folder, sorted.

        A folder's times change with every name that comes or goes. As with files, they are believed
        when they are 2 s older than the walk: what changes in one tick of the clock has one time.
        """
        found = os.fstat(folder)
        times = found.st_mtime_ns, found.st_ctime_ns
        if found.st_dev != self._device or max(times) >= self._border:
            return listed(folder)
        known = self._known.get(found.st_ino)
        if known and known[0] == times:
            return known[1].split("/") if known[1] else []
        names = listed(folder)
        self._known[found.st_ino] = times, "/".join(names)
        return names
