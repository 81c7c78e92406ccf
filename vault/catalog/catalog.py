"""Archives of a service at a destination, and which of them are backups.

A *backup* is an archive whose referenced archives all exist with their expected size at the same
destination. Any other archive is a *base*; one under another key is *locked*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.format import Manifest, StatementName, Summary
from vault.archive.reader import Archive
from vault.catalog.contained import describe, is_foreign
from vault.catalog.statements import read_statement
from vault.errors import Damaged, NotThere, VaultError, WrongKey
from vault.store.base import Check, never

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.archive.statement import Statement
    from vault.store.base import Store, Stored


@dataclass(slots=True)
class Listed:
    """Archive, or statement, at a destination.

    `problem` says why nothing may build on it: it cannot be opened and has no summary, or a
    verification has found damage in it.
    """

    stored: Stored
    summary: Summary | None = None
    problem: str = ""
    locked: bool = False
    statement: Statement | None = None

    @property
    def name(self) -> str:
        """Name of its file."""
        return self.stored.name


@dataclass(slots=True)
class Catalog:
    """All archives of one service at one destination, oldest first."""

    destination: Store
    service: str
    listed: list[Listed] = field(default_factory=list)
    statements: list[Listed] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Names that the previous listing had."""
    forgotten: list[Listed] = field(default_factory=list)
    """Archives that somebody deleted, and that `vault.catalog.forgotten` took out of `listed`."""

    @property
    def names(self) -> set[str]:
        """Return the names of all archives and statements."""
        items = (*self.listed, *self.forgotten, *self.statements)
        return {item.name for item in items}

    @property
    def referable(self) -> dict[str, Listed]:
        """Archive id -> archive, for those that can be referred to."""
        return _referable(self.listed)

    @property
    def backups(self) -> list[Listed]:
        """Return the archives that can be restored from here alone, oldest first."""
        return backups_of(self.listed)

    @property
    def damaged(self) -> list[Listed]:
        """Return the archives that were backups before they or their bases were damaged."""
        unmarked = [Listed(item.stored, item.summary) for item in self.listed]
        good = {item.name for item in self.backups}
        return [item for item in backups_of(unmarked) if item.name not in good]

    def open(self, name: str, keys: Keys, check: Check = never) -> Archive:
        """Open an archive here; raises Away, NotThere, Damaged, WrongKey."""
        listed = next((item.stored.size for item in self.listed if item.name == name), None)
        return open_archive(self.destination, self.service, name, keys, size=listed, check=check)


def missing(summary: Summary, referable: dict[str, Listed]) -> list[str]:
    """Return the names of referenced archives that do not exist with their expected size."""
    return [
        other.name
        for other in summary.archives
        if other.id not in referable or referable[other.id].stored.size != other.size
    ]


def whole(summary: Summary, referable: dict[str, Listed]) -> bool:
    """Return whether everything that an archive refers to exists."""
    return not missing(summary, referable)


def summary_of(item: Listed) -> Summary:
    """Return the summary of an archive that is known to have one."""
    assert item.summary is not None
    return item.summary


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


def list_spool(spool: Catalog, keys: Keys) -> Catalog:
    """Return what waits in the spool; it is not cached, and may be gone the next time."""
    catalog = Catalog(spool.destination, spool.service)
    for stored in spool.destination.archives(spool.service):
        catalog.listed.append(examine(catalog, stored, keys))
    return catalog


def _referable(archives: list[Listed]) -> dict[str, Listed]:
    return {item.summary.id: item for item in archives if item.summary and not item.problem}


def backups_of(archives: list[Listed]) -> list[Listed]:
    """Return those archives at one destination that can be restored from there alone."""
    referable = _referable(archives)
    return [
        item for item in referable.values() if item.summary and not missing(item.summary, referable)
    ]


def examine(catalog: Catalog, one: Stored, keys: Keys, check: Check = never) -> Listed:
    """Open an archive or a statement, and return its state; raises Away."""
    try:
        if StatementName.parse(one.name):
            place = catalog.destination, catalog.service, one.name
            return Listed(one, statement=read_statement(*place, keys, check=check)[0])
        manifest = catalog.open(one.name, keys, check).manifest
    except WrongKey as error:
        return Listed(one, problem=str(error), locked=True)
    except (Damaged, NotThere) as error:
        return Listed(one, problem=str(error))
    except VaultError:
        raise
    except BaseException as error:
        if not is_foreign(error):
            raise
        # One unreadable file must not affect the others.
        where = f"{catalog.destination.name}:{catalog.service}/{one.name}"
        return Listed(one, problem=f"{where} cannot be opened: {describe(error)}")
    return Listed(one, _summary(manifest))


def _summary(manifest: Manifest) -> Summary:
    fields = {name: getattr(manifest, name) for name in Summary.__struct_fields__}
    return Summary(**fields)
