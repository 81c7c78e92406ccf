"""What a destination holds of a service, and which of it are backups.

A *backup* is an archive whose every referenced archive stands with its expected size at the same
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
    """An archive at a destination.

    `problem` says why nothing may build on it: it cannot be opened, and has no summary, or a
    verification has found damage inside.
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
    """Names that the list before this one had."""

    @property
    def standing(self) -> dict[str, Held]:
        """Archive id -> what can be referred to."""
        return _standing(self.held)

    @property
    def backups(self) -> list[Held]:
        """Give the archives that restore from here alone, oldest first."""
        return backups_of(self.held)

    @property
    def hurt(self) -> list[Held]:
        """Give the archives that were backups before damage was found in them or below them."""
        unmarked = [Held(held.stored, held.summary) for held in self.held]
        good = {held.stored.name for held in self.backups}
        return [held for held in backups_of(unmarked) if held.stored.name not in good]

    def open(self, name: str, keys: Keys) -> Archive:
        """Open an archive here; raises Away, NotThere, Damaged, WrongKey."""
        listed = next((held.stored.size for held in self.held if held.stored.name == name), None)
        return open_archive(self.destination, self.service, name, keys, size=listed)


def missing(summary: Summary, standing: dict[str, Held]) -> list[str]:
    """Give the names of referenced archives that do not stand with their expected size."""
    return [
        other.name
        for other in summary.archives
        if other.id not in standing or standing[other.id].stored.size != other.size
    ]


def whole(summary: Summary, standing: dict[str, Held]) -> bool:
    """Say whether everything that an archive refers to stands."""
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
    """Open the archive called `name`, which stands as file `at` when that is given.

    A `size` that is known saves a question. `check` may cancel this, and later reads.
    """

    def read(offset: int, length: int) -> bytes:
        return destination.read(service, at or name, offset, length, check)

    if size is None:
        size = destination.size(service, at or name, check)
    return Archive(read, size, name, keys, f"{destination.name}:{service}/{name}")


def look_in_spool(spool: Catalog, keys: Keys) -> Catalog:
    """Give what waits in the spool; it is not remembered, and may be gone the next time."""
    catalog = Catalog(spool.destination, spool.service)
    for stored in spool.destination.archives(spool.service):
        catalog.held.append(look_at(catalog, stored, keys))
    return catalog


def _standing(archives: list[Held]) -> dict[str, Held]:
    return {held.summary.id: held for held in archives if held.summary and not held.problem}


def backups_of(archives: list[Held]) -> list[Held]:
    """Give those of some archives at one place that restore from there alone."""
    standing = _standing(archives)
    return [
        held for held in standing.values() if held.summary and not missing(held.summary, standing)
    ]


def look_at(catalog: Catalog, one: Stored, keys: Keys) -> Held:
    """Open an archive and return what it is; raises Away."""
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
        # One file that nobody can make sense of must not cost the others.
        where = f"{catalog.destination.name}:{catalog.service}/{one.name}"
        return Held(one, problem=f"{where} cannot be opened: {describe(error)}")
    return Held(one, _summary(manifest))


def _summary(manifest: Manifest) -> Summary:
    fields = {name: getattr(manifest, name) for name in Summary.__struct_fields__}
    return Summary(**fields)
