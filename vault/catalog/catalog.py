"""Archives of a service at a destination, and which of them are backups.

A *backup* is an archive whose referenced archives all exist with their expected size at the same
destination. Any other archive is a *base*; one under another key is *locked*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.format import Manifest, Summary
from vault.archive.reader import Archive
from vault.catalog.contained import describe, is_foreign
from vault.errors import Damaged, NotThere, VaultError, WrongKey
from vault.store.base import Check, never

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.store.base import Store, Stored


@dataclass(slots=True)
class Held:
    """Archive at a destination.

    `problem` says why nothing may build on it: it cannot be opened and has no summary, or a
    verification has found damage in it.
    """

    stored: Stored
    summary: Summary | None = None
    problem: str = ""
    locked: bool = False


@dataclass(slots=True)
class Catalog:
    """All archives of one service at one destination, oldest first."""

    destination: Store
    service: str
    held: list[Held] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Names that the previous listing had."""

    @property
    def standing(self) -> dict[str, Held]:
        """Archive id -> archive, for those that can be referred to."""
        return _standing(self.held)

    @property
    def backups(self) -> list[Held]:
        """Return the archives that can be restored from here alone, oldest first."""
        return backups_of(self.held)

    @property
    def hurt(self) -> list[Held]:
        """Return the archives that were backups before they or their bases were damaged."""
        unmarked = [Held(held.stored, held.summary) for held in self.held]
        good = {held.stored.name for held in self.backups}
        return [held for held in backups_of(unmarked) if held.stored.name not in good]

    def open(self, name: str, keys: Keys) -> Archive:
        """Open an archive here; raises Away, NotThere, Damaged, WrongKey."""
        listed = next((held.stored.size for held in self.held if held.stored.name == name), None)
        return open_archive(self.destination, self.service, name, keys, size=listed)


def missing(summary: Summary, standing: dict[str, Held]) -> list[str]:
    """Return the names of referenced archives that do not exist with their expected size."""
    return [
        other.name
        for other in summary.archives
        if other.id not in standing or standing[other.id].stored.size != other.size
    ]


def whole(summary: Summary, standing: dict[str, Held]) -> bool:
    """Return whether everything that an archive refers to exists."""
    return not missing(summary, standing)


def open_archive(
    destination: Store,
    service: str,
    name: str,
    keys: Keys,
    at: str = "",
    size: int | None = None,
    check: Check = never,
) -> Archive:
    """Open the archive called `name`; its file has the name `at` if that is given.

    A known `size` saves a request. `check` may cancel this and later reads.
    """

    def read(offset: int, length: int) -> bytes:
        return destination.read(service, at or name, offset, length, check)

    if size is None:
        size = destination.size(service, at or name, check)
    return Archive(read, size, name, keys, f"{destination.name}:{service}/{name}")


def look_in_spool(spool: Catalog, keys: Keys) -> Catalog:
    """Return what waits in the spool; it is not cached, and may be gone the next time."""
    catalog = Catalog(spool.destination, spool.service)
    for stored in spool.destination.archives(spool.service):
        catalog.held.append(look_at(catalog, stored, keys))
    return catalog


def _standing(archives: list[Held]) -> dict[str, Held]:
    return {held.summary.id: held for held in archives if held.summary and not held.problem}


def backups_of(archives: list[Held]) -> list[Held]:
    """Return those archives at one destination that can be restored from there alone."""
    standing = _standing(archives)
    return [
        held for held in standing.values() if held.summary and not missing(held.summary, standing)
    ]


def look_at(catalog: Catalog, one: Stored, keys: Keys) -> Held:
    """Open an archive and return its state; raises Away."""
    try:
        manifest = catalog.open(one.name, keys).manifest
    except WrongKey as error:
        return Held(one, problem=str(error), locked=True)
    except (Damaged, NotThere) as error:
        return Held(one, problem=str(error))
    except VaultError:
        raise
    except BaseException as error:
        if not is_foreign(error):
            raise
        # One unreadable file must not affect the others.
        where = f"{catalog.destination.name}:{catalog.service}/{one.name}"
        return Held(one, problem=f"{where} cannot be opened: {describe(error)}")
    return Held(one, _summary(manifest))


def _summary(manifest: Manifest) -> Summary:
    fields = {name: getattr(manifest, name) for name in Summary.__struct_fields__}
    return Summary(**fields)
