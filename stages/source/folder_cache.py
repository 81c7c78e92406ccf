"""Cache of the names in each folder: a second walk lists only the folders that have changed."""

from __future__ import annotations

import os

from stages.source.previous import trusted_before

LIST_ATTEMPTS = 3
"""Times that a folder is listed while a name comes twice; then the duplicates are dropped."""


def listed(folder: int) -> list[str]:
    """Return the names in an open folder, each once, sorted by their bytes; raises OSError.

    XFS lists a name twice if its file is deleted and created again while the folder is listed, and
    so do some network filesystems. Such a folder is listed again.
    """
    for _ in range(LIST_ATTEMPTS):
        names = os.listdir(folder)
        once = set(names)
        if len(once) == len(names):
            break
    else:
        names = list(once)
    # Text sorts as its bytes do, except for names that are not UTF-8; ASCII needs no encoding.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    return names


class FolderCache:
    """Names in each folder, kept in memory from the warm pass for the walk during the stop."""

    def __init__(self, root: int, barrier: int) -> None:
        """Start with the open folder `root`; `barrier` is the time just before its walk, in ns."""
        # Other filesystems may not update the times of folders, and have inodes of their own.
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
