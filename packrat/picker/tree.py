"""Tree of the files of one backup, for browsing: folders with sizes, search by name.

The index is in the order of the walk, so everything below a folder is one contiguous range of it.
The sum over a range is the difference of two running sums, so even a large folder costs no loop.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from concurrent.futures import Future
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.format import order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packrat.restore.opened import OpenedBackup
    from vault.archive.format import Entry


class Item(Struct, frozen=True):
    """A file, or a folder with everything below it."""

    path: str
    folder: bool
    files: int
    size: int


class Tree:
    """Every entry of a backup, in the order of its index."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        rows = []
        for entry in entries:
            name = entry.path if entry.path64 is None else entry.name
            rows.append((order(name), name, entry.type == "dir", entry.size))
        rows.sort()  # already in order, unless the index is forged
        self._keys = [row[0] for row in rows]
        self._names = [row[1] for row in rows]
        self._folders = [row[2] for row in rows]
        self._sizes = [0, *accumulate(row[3] for row in rows)]
        self._files = [0, *accumulate(not row[2] for row in rows)]

    def __len__(self) -> int:
        return len(self._keys)

    def children(self, folder: str, first: int = 0, most: int = 1 << 62) -> list[Item]:
        """Return up to `most` items directly in a folder, from number `first` on."""
        found: list[Item] = []
        for number, at in enumerate(self._children(folder)):
            if number >= first + most:
                break
            if number >= first:
                found.append(self._item(at))
        return found

    def item(self, path: str) -> Item:
        """Return the item at a path."""
        return self._item(bisect_left(self._keys, order(path)))

    def number(self, path: str) -> int:
        """Return the number of an item among all in its folder."""
        folder, key = path.rpartition("/")[0], order(path)
        return sum(1 for at in self._children(folder) if self._keys[at] < key)

    def count(self, folder: str) -> int:
        """Return the number of items directly in a folder."""
        return sum(1 for _ in self._children(folder))

    def find(self, part: str, most: int) -> tuple[list[Item], int]:
        """Return up to `most` items whose name contains a text in any case, and their count."""
        wanted = part.casefold()
        hits = [
            at
            for at, name in enumerate(self._names)
            if name and wanted in name.rpartition("/")[2].casefold()
        ]
        return [self._item(at) for at in hits[:most]], len(hits)

    def total(self, paths: Iterable[str]) -> tuple[int, int]:
        """Return (files, bytes) of some paths and everything below; of the whole tree for none."""
        files = size = 0
        for path in paths or [""]:
            start = bisect_left(self._keys, order(path))
            end = self._end(path)
            files += self._files[end] - self._files[start]
            size += self._sizes[end] - self._sizes[start]
        return files, size

    def _children(self, folder: str) -> Iterator[int]:
        end = self._end(folder)
        at = bisect_left(self._keys, order(folder) + b"\0") if folder else 0
        while at < end:
            if not self._names[at]:  # the service's own folder
                at += 1
                continue
            yield at
            # Skipping over a folder's range reads no more entries than are shown.
            at = self._end(self._names[at]) if self._folders[at] else at + 1

    def _end(self, path: str) -> int:
        return bisect_left(self._keys, order(path) + b"\1") if path else len(self._keys)

    def _item(self, at: int) -> Item:
        name = self._names[at]
        end = max(self._end(name), at + 1) if self._folders[at] else at + 1
        return Item(
            name,
            self._folders[at],
            self._files[end] - self._files[at],
            self._sizes[end] - self._sizes[at],
        )


def load_ahead(opened: OpenedBackup) -> Future[Tree]:
    """Start to read the index while the user reads the screen; exit does not wait for it."""
    future: Future[Tree] = Future()

    def work() -> None:
        try:
            future.set_result(Tree(opened.entries()))
        except BaseException as error:  # noqa: BLE001 (raised where the result is read)
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def covers(paths: Iterable[str], path: str) -> str | None:
    """Return which of some paths is this one or a folder above it, or None."""
    found = set(paths)
    if path in found:
        return path
    return next((path[:at] for at, c in enumerate(path) if c == "/" and path[:at] in found), None)
