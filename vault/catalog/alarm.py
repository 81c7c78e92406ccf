"""Alarms: a destination lacks backups that it had, and packrat did not delete them."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """Kind of gap in the history of a service at a destination."""

    MISSING = "missing"
    """Backups are gone that packrat did not delete."""
    OLDER = "older"
    """The newest of them are gone: the destination shows an older state."""
    EMPTY = "empty"
    """All of them are gone."""
    BASE = "base"
    """An archive is gone that the newest backup needs."""


class Lost(Struct, frozen=True):
    """Archive that is missing."""

    name: str
    id: str
    made: str
    """Time at which its source was read, or that of its name if that is all that is known."""


class Alarm(Struct, frozen=True, kw_only=True):
    """Finding about a service at one destination, until it is accepted or repaired."""

    service: str
    destination: str
    kind: Kind
    lost: tuple[Lost, ...]
    """Missing archives, oldest first."""
    newest: Lost | None = None
    """Newest archive that is there."""
    moved_from: str = ""
    """Root of the destination when it had the archives, if that is another one now."""
    inferred: bool = False
    """This machine never saw them there: another archive, or another destination, says so."""
