"""Tree of the files of one backup, for browsing: folders with sizes, filter by name.

The index is in the order of the walk, so everything below a folder is one contiguous range of it.
The sum over a range is the difference of two running sums, so even a large folder costs no loop.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from concurrent.futures import Future
from fnmatch import translate
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.format import order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.restore.opened import OpenedBackup
    from vault.archive.format import Entry


class Item(Struct, frozen=True):
    """A file, or a folder with everything below it."""

    path: str
    folder: bool
    files: int
    size: int
    mtime: int = 0
    """Nanoseconds since 1970."""
    type: str = "file"


class Tree:
    """Every entry of a backup, in the order of its index, and known by its number in it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        rows = []
        for entry in entries:
            name = entry.path if entry.path64 is None else entry.name
            rows.append((order(name), name, entry.type, entry.size, entry.mtime))
        rows.sort()  # already in order, unless the index is forged
        self._keys = [row[0] for row in rows]
        self._names = [row[1] for row in rows]
        self._types = [row[2] for row in rows]
        self._mtimes = [row[4] for row in rows]
        self._sizes = [0, *accumulate(row[3] for row in rows)]
        self._files = [0, *accumulate(row[2] != "dir" for row in rows)]

    def __len__(self) -> int:
        return len(self._keys)

    @cached_property
    def _folded(self) -> list[str]:
        return [name.casefold() for name in self._names]

    @cached_property
    def _folded_last(self) -> list[str]:
        return [name.rpartition("/")[2] for name in self._folded]

    def children(self, folder: str) -> list[int]:
        """Return the numbers of what is directly in a folder."""
        end, found = self._end(folder), []
        at = self._start(folder)
        while at < end:
            found.append(at)
            # Skipping over a folder's range reads no more entries than are returned.
            at = self.after(at)
        return found

    def number(self, path: str) -> int:
        """Return the number of the entry at a path."""
        return bisect_left(self._keys, order(path))

    def path(self, number: int) -> str:
        """Return the path of an entry."""
        return self._names[number]

    def after(self, number: int) -> int:
        """Return the number of the first entry after an entry and everything below it."""
        if self._types[number] == "dir":
            return max(self._end(self._names[number]), number + 1)
        return number + 1

    def item(self, number: int) -> Item:
        """Return an entry by its number."""
        name, type_ = self._names[number], self._types[number]
        end = self.after(number)
        return Item(
            name,
            type_ == "dir",
            self._files[end] - self._files[number],
            self._sizes[end] - self._sizes[number],
            self._mtimes[number],
            type_,
        )

    def find(self, text: str, folder: str = "") -> list[int]:
        """Return the numbers of what matches below a folder, in any case.

        A text with `*` or `?` is a pattern for the whole name, any other one is part of it; with
        `/`, both are about the path below the folder.
        """
        text = text.casefold()
        start, end = self._start(folder), self._end(folder)
        names, skipped = self._folded_last, 0
        if "/" in text:
            names, skipped = self._folded, len(folder.casefold()) + bool(folder)
        if "*" in text or "?" in text:
            matches = re.compile(translate(text.strip("/"))).match
            return [at for at in range(start, end) if matches(names[at][skipped:])]
        return [at for at in range(start, end) if text in names[at][skipped:]]

    def _start(self, folder: str) -> int:
        """Return the number of the first entry below a folder."""
        if folder:
            return bisect_left(self._keys, order(folder) + b"\0")
        return int(self._names[:1] == [""])  # the service's own folder

    def _end(self, path: str) -> int:
        return bisect_left(self._keys, order(path) + b"\1") if path else len(self._keys)


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
