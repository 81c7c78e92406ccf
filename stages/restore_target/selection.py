"""Which entries of a backup are wanted, however many paths were named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wanted:
    """Some paths, with all that is below them; everything when there are none."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._all = not self._paths or "" in self._paths
        self.above = {""} | {
            path[:at] for path in self._paths for at, letter in enumerate(path) if letter == "/"
        }
        """The folders that lead to them."""

    def covers(self, name: str) -> bool:
        """Say whether an entry is wanted."""
        return self._all or self.of(name) is not None

    def of(self, name: str) -> str | None:
        """Give the path because of which an entry is wanted."""
        if not self._paths:
            return ""
        if name in self._paths:
            return name
        at = name.rfind("/")
        while at >= 0:
            if name[:at] in self._paths:
                return name[:at]
            at = name.rfind("/", 0, at)
        return "" if self._all else None
