"""What a restore is asked to do: however it was asked, one value says all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Request:
    """One restore, complete: the picker makes it, or the command line."""

    service: str
    backup: str = "latest"
    """The name of an archive; or the beginning of an id or of a time; or `latest`."""
    source: str | None = None
    """The destination to read from; the nearest one that has the backup when left out."""
    paths: tuple[str, ...] = ()
    """What to restore, with all that is below; everything when empty."""
    target: str | None = None
    """The folder to restore to; None is the service's own, in place."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line said; None where it said nothing."""

    service: str | None = None
    backup: str | None = None
    source: str | None = None
    paths: tuple[str, ...] | None = None
    target: str | None = None
    in_place: bool = False

    def at(self, paths: Iterable[str]) -> Given:
        """Give the same with other paths."""
        return replace(self, paths=tuple(paths))
