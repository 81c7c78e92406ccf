"""Ticked paths of a backup, each with everything below it, and their total."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.picker.tree import Item, Tree


class Ticks:
    """Selection that costs nothing to draw, however many paths are in it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.paths: dict[str, None] = {}
        """Ticked paths, in the order in which they were ticked; none is below another one."""
        self.files = self.size = 0
        self._inside: Counter[str] = Counter()
        """Folder -> number of ticked paths below it."""

    def covering(self, path: str) -> str | None:
        """Return the ticked path that is this one or a folder above it, or None."""
        while path and path not in self.paths:
            path = path.rpartition("/")[0]
        return path or None

    def mark(self, path: str) -> str:
        """Return x for a ticked path, - for one with something ticked inside, or a space."""
        return "x" if self.covering(path) else "-" if self._inside[path] else " "

    def toggle(self, number: int) -> None:
        """Tick an entry, or remove the tick that covers it."""
        if covering := self.covering(self._tree.path(number)):
            self._remove(covering)
        else:
            self._add(number)

    def toggle_all(self, numbers: Sequence[int]) -> None:
        """Tick all entries, which are in order; if all are ticked, remove these ticks."""
        path = self._tree.path
        if new := [number for number in numbers if not self.covering(path(number))]:
            after = 0
            for number in new:
                if number >= after:  # otherwise it is in a folder that was just ticked
                    self._add(number)
                    after = self._tree.after(number)
        else:
            for number in numbers:
                if path(number) in self.paths:
                    self._remove(path(number))

    def _add(self, number: int) -> None:
        item = self._tree.item(number)
        if self._inside[item.path]:
            for below in [one for one in self.paths if one.startswith(item.path + "/")]:
                self._remove(below)
        self.paths[item.path] = None
        self._count(item, 1)

    def _remove(self, path: str) -> None:
        del self.paths[path]
        self._count(self._tree.item(self._tree.number(path)), -1)

    def _count(self, item: Item, sign: int) -> None:
        self.files += sign * item.files
        self.size += sign * item.size
        above = item.path.rpartition("/")[0]
        while above:
            self._inside[above] += sign
            above = above.rpartition("/")[0]
