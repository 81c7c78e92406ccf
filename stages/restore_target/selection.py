"""Selection of the entries to restore, for any number of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Selection:
    """Set of paths, with everything below them; everything if it is empty."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._all = not self._paths or "" in self._paths
        self.above = {""} | {
            path[:at] for path in self._paths for at, letter in enumerate(path) if letter == "/"
        }
        """The folders that lead to them."""

    def covers(self, name: str) -> bool:
        """Return whether an entry is selected."""
        return self._all or self.of(name) is not None

    def of(self, name: str) -> str | None:
        """Return the path because of which an entry is selected, None if it is not."""
        if not self._paths:
            return ""
        while name and name not in self._paths:
            name = name.rpartition("/")[0]
        return name if name or self._all else None
