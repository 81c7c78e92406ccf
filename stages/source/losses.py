"""Losses: properties of files that the backup does not have as the source has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NAMED = 20
"""Files named for one kind of loss; a share without attributes may have a million."""


class Losses:
    """Warnings about files: the first ones by name, the others as a number."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._counts: Counter[str] = Counter()

    def add(self, path: str, what: str) -> None:
        """Warn about a file; `what` ends a sentence that begins with its path."""
        kind = what.partition(":")[0]
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED:
            self._warn(f"{path!r} {what}")

    def finish(self) -> None:
        """Warn about the number of files that were not named."""
        for kind, count in self._counts.items():
            if count > NAMED:
                self._warn(f"{count - NAMED:,} more: {kind}")
