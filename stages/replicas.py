"""The copies of a backup: what is damaged or away at one destination is read from the next.

An archive is the same bytes everywhere, so any copy serves for any stretch of it, and a frame
proves itself when it is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vault.archive.seal import unpack
from vault.errors import Away, Damaged, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault.archive.format import Kind
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog
    from vault.store.base import Destination

Found = TypeVar("Found")


class Copies:
    """Reads a backup, and the archives that it refers to, from the nearest destination that can."""

    def __init__(self, backup: Archive, catalogs: list[Catalog], keys: Keys) -> None:
        """`catalogs` is where to read, the nearest first: the backup was opened at the first."""
        self._backup = backup
        self._catalogs = catalogs
        self._keys = keys
        # Also what a verification has found damage in: most of it is good.
        self._names = {backup.manifest.id: backup.name}
        self._names |= {other.id: other.name for other in backup.manifest.archives}
        self._opened = {backup.manifest.id: backup}
        self._away: set[str] = set()
        self.notes: dict[str, str] = {}
        """What had to come from elsewhere, and why: said once for each archive and destination."""

    def name(self, archive_id: str) -> str:
        """Give the name of an archive's file; raises Damaged."""
        if archive_id not in self._names:
            raise Damaged(self._backup.where, f"refers to {archive_id}, which it does not name")
        return self._names[archive_id]

    def archive(self, archive_id: str) -> Archive:
        """Give an archive, opened once, at the first place where it can be; raises VaultError."""
        if archive_id not in self._opened:
            name = self.name(archive_id)
            self._opened[archive_id] = self._first(name, lambda c: c.open(name, self._keys))
        return self._opened[archive_id]

    def read(self, archive_id: str, offset: int, length: int) -> bytes:
        """Read a range of an archive's file; raises VaultError."""
        name = self.name(archive_id)
        return self._first(name, lambda c: _read(c, name, offset, length))

    def index(self, archive_id: str, number: int) -> bytes:
        """Read an index segment; raises VaultError."""
        archive = self.archive(archive_id)
        sealed = self.read(archive_id, *archive.place(number))
        return unpack(archive.where, number, b"i", self.unseal(archive_id, number, b"i", sealed))

    def unseal(self, archive_id: str, number: int, kind: Kind, sealed: bytes | memoryview) -> bytes:
        """Open a frame that was read, or else the same frame of another copy.

        Raises Damaged when no copy has it good.
        """
        archive = self.archive(archive_id)
        try:
            return archive.sealer.open(number, kind, sealed)
        except Damaged as error:
            if len(self._catalogs) == 1:
                raise
            place = archive.place(number)

            def good(catalog: Catalog) -> bytes:
                found = _read(catalog, archive.name, *place)
                return archive.sealer.open(number, kind, found)

            return self._first(archive.name, good, error)

    def _first(
        self, name: str, attempt: Callable[[Catalog], Found], failed: VaultError | None = None
    ) -> Found:
        """Give what the first destination gives that can; the error of the nearest if none can."""
        last = self._catalogs[-1]
        for catalog in self._catalogs:
            at = catalog.destination.name
            if at in self._away and catalog is not last:
                continue  # each attempt would wait for it again
            try:
                found = attempt(catalog)
            except VaultError as error:
                failed = failed if isinstance(failed, Damaged) else error
                if isinstance(error, Away):
                    self._away.add(at)
                continue
            if failed is not None:
                self._note(name, at, failed)
            return found
        assert failed is not None
        raise failed

    def _note(self, name: str, at: str, failed: VaultError) -> None:
        self.notes.setdefault(f"{name} {at}", f"{failed}: read from {at} instead")


def _read(catalog: Catalog, name: str, offset: int, length: int) -> bytes:
    destination: Destination = catalog.destination
    data = destination.read(catalog.service, name, offset, length)
    if len(data) < length:
        where = f"{destination.name}:{catalog.service}/{name}"
        raise Damaged(where, f"ends {length - len(data):,} bytes before it should")
    return data
