"""Verdicts of a verification on archives."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.catalog.catalog import backups_of
from vault.catalog.prover import Depth
from vault.errors import Damaged, NotThere, WrongKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault.catalog.cache import CatalogCache
    from vault.catalog.catalog import Catalog, Listed
    from vault.errors import VaultError
    from vault.store.base import Stored


class Status(StrEnum):
    """Result of the verification of an archive."""

    GOOD = "ok"
    DAMAGED = "damaged"
    """Its bytes, which were requested twice, are not what packrat wrote."""
    MISSING = "missing"
    """An archive that it refers to is missing."""
    UNREADABLE = "unreadable"
    """Unknown: the destination refused, failed, or stopped answering."""
    PRUNED = "pruned"
    """It was deleted during the verification; there is no verdict."""


GRAVITY = (Status.GOOD, Status.UNREADABLE, Status.MISSING, Status.DAMAGED)


class Verdict(Struct, frozen=True):
    """Result of the verification of one archive at one destination."""

    id: str
    stored: Stored
    destination: str
    status: Status
    problems: tuple[str, ...] = ()
    bytes_read: int = 0
    base: bool = False
    """Only the parts that backups need were proven."""

    @property
    def name(self) -> str:
        """Name of the archive."""
        return self.stored.name


class Finding:
    """Verdict on an archive while it is being formed."""

    def __init__(self, item: Listed) -> None:
        """Start with the archive as it was listed."""
        self.listed = item
        self.status = Status.GOOD
        self.problems: list[str] = []
        self.bytes_read = 0
        self.gone = False
        """The file was missing when it was to be read."""
        self.stopped = False
        """Reading on is useless, or would wait for a destination that does not answer."""

    def fault(self, status: Status, problem: str) -> None:
        """Record a problem; the most serious one decides the status."""
        self.status = max(self.status, status, key=GRAVITY.index)
        if problem not in self.problems:
            self.problems.append(problem)

    def failed(self, error: VaultError) -> None:
        """Record the error with which reading this archive ended."""
        self.gone |= isinstance(error, NotThere)
        proven = isinstance(error, Damaged | WrongKey)
        self.stopped |= not proven
        self.fault(Status.DAMAGED if proven else Status.UNREADABLE, str(error))


def superseded(catalogs: Iterable[Catalog], verdicts: Iterable[Verdict]) -> list[str]:
    """Return the names of archives with damage that no restore needs, oldest first.

    They, or what they refer to, are damaged at every destination that has them, and a newer backup
    is good.
    """
    bad = {(one.destination, one.name) for one in verdicts if one.status in GRAVITY[2:]}
    good: set[str] = set()
    damaged: set[str] = set()
    for catalog in catalogs:
        where = catalog.destination.name
        wrong = [item for item in catalog.listed if (where, item.name) in bad]
        rest = [item for item in catalog.listed if item not in wrong]
        sound = {item.name for item in backups_of(rest)}
        whole = {item.name for item in backups_of(catalog.listed)}
        good |= sound
        damaged |= (whole - sound) | {item.name for item in wrong}
    newest = max(good, default="")
    return sorted(name for name in damaged - good if name < newest)


def remember(
    cache: CatalogCache, catalog: Catalog, verdicts: list[Verdict], depth: Depth, now: float
) -> None:
    """Record in the cache what was read in full and what is damaged. The rest proves nothing."""
    for verdict in verdicts:
        if verdict.status is Status.DAMAGED:
            problem = "; ".join(verdict.problems)
        elif verdict.status is Status.GOOD and depth is not Depth.SAMPLES and verdict.bytes_read:
            problem = ""
        else:
            continue
        cache.prove(catalog.destination, catalog.service, verdict.stored, now, problem)
