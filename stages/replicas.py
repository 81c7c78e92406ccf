"""Replicas of a backup: if one destination is damaged or away, the next one is read.

An archive has the same bytes everywhere, so any replica can supply any stretch of it, and a frame
proves itself when it is opened.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from engine.pool import in_order
from vault.archive.seal import unpack
from vault.errors import Away, Damaged, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vault.archive.format import Kind
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog
    from vault.store.base import Check

Found = TypeVar("Found")

OPENED_AT_ONCE = 8
"""Archives opened at the same time; each waits for a few reads."""


class Replicas:
    """Reader of a backup, and of archives it refers to, from the nearest usable destination.

    `check`, an argument of every method that reads, is called before each read and may raise to
    cancel.
    """

    def __init__(
        self,
        backup: Archive,
        catalogs: list[Catalog],
        keys: Keys,
        opened: dict[str, Archive] | None = None,
    ) -> None:
        """Read from `catalogs`, the nearest first: the backup was opened at the first.

        `opened` are archives that are open already, by id. It may be shared by several backups.
        """
        self.backup = backup
        self._catalogs = catalogs
        self._keys = keys
        # Including archives in which a verification has found damage: most of their frames are
        # good.
        self._names = {backup.manifest.id: backup.name}
        self._names |= {other.id: other.name for other in backup.manifest.archives}
        self._opened = {} if opened is None else opened
        self._opened[backup.manifest.id] = backup
        self._away: set[str] = set()
        self.notes: dict[str, str] = {}
        """Data that had to be read elsewhere, and why: one note per archive and destination."""
        self._segments: dict[tuple[str, int], bytes] | None = None

    def name(self, archive_id: str) -> str:
        """Return the name of an archive's file; raises Damaged."""
        if archive_id not in self._names:
            raise Damaged(self.backup.where, f"refers to {archive_id}, which it does not name")
        return self._names[archive_id]

    def archive(self, archive_id: str, check: Check) -> Archive:
        """Return an archive, opened once, at the first usable destination; raises VaultError."""
        if archive_id not in self._opened:
            name = self.name(archive_id)

            def opened(catalog: Catalog) -> Archive:
                archive = catalog.open(name, self._keys)
                archive.prove_size()  # reads the table of the frames, which may be damaged as well
                return archive

            self._opened[archive_id] = self._first(name, opened, check)
        return self._opened[archive_id]

    def opened(self, archives: Iterable[str], check: Check) -> Iterator[str]:
        """Yield each archive once it is open, a few ahead.

        A backup after sixty others refers to all of them. One that cannot be opened is yielded as
        well: reading its frames raises the error.
        """

        def attempt(archive_id: str) -> str:
            with suppress(VaultError):
                self.archive(archive_id, check)
            return archive_id

        with ThreadPoolExecutor(OPENED_AT_ONCE) as threads:
            yield from in_order(threads, attempt, dict.fromkeys(archives), OPENED_AT_ONCE)

    def read(
        self, archive_id: str, offset: int, length: int, check: Check, first: str = ""
    ) -> bytes:
        """Read a range of an archive's file, at the destination `first` if possible.

        Raises VaultError.
        """
        name = self.name(archive_id)
        return self._first(
            name, lambda c: _read(c, name, (offset, length), check), check, first=first
        )

    def index(self, archive_id: str, number: int, check: Check) -> bytes:
        """Read an index segment; raises VaultError."""
        archive, segments = self.archive(archive_id, check), self._segments
        data = segments.get((archive_id, number)) if segments else None
        if data is None:
            data = self._compressed(archive_id, number, b"i", check)
        if segments is not None:
            segments[archive_id, number] = data
        return unpack(archive.where, number, b"i", data)

    def data(self, archive_id: str, number: int, check: Check) -> bytes:
        """Read a data segment; raises VaultError."""
        data = self._compressed(archive_id, number, b"d", check)
        return unpack(self.archive(archive_id, check).where, number, b"d", data)

    def remember_index(self) -> None:
        """Keep the index segments that are read from now on, compressed: they are read again."""
        self._segments = {} if self._segments is None else self._segments

    def unseal(
        self, archive_id: str, number: int, kind: Kind, sealed: bytes | memoryview, check: Check
    ) -> bytes:
        """Open a frame that was read; if it is damaged, read it again there, then elsewhere.

        Raises Damaged if no replica has it undamaged.
        """
        archive = self.archive(archive_id, check)
        try:
            return archive.sealer.open(number, kind, sealed)
        except Damaged as error:
            position = archive.position(number)

            def good(catalog: Catalog) -> bytes:
                found = _read(catalog, archive.name, position, check)
                return archive.sealer.open(number, kind, found)

            return self._first(archive.name, good, check, error)

    def _compressed(self, archive_id: str, number: int, kind: Kind, check: Check) -> bytes:
        position = self.archive(archive_id, check).position(number)
        sealed = self.read(archive_id, *position, check)
        return self.unseal(archive_id, number, kind, sealed, check)

    def _first(
        self,
        name: str,
        attempt: Callable[[Catalog], Found],
        check: Check,
        failed: VaultError | None = None,
        first: str = "",
    ) -> Found:
        """Return the result of the first usable destination; if none is, raise the first error."""
        catalogs = sorted(self._catalogs, key=lambda catalog: catalog.destination.name != first)
        for catalog in catalogs:
            check()
            at = catalog.destination.name
            if at in self._away and catalog is not catalogs[-1]:
                continue  # each attempt would wait for it again
            try:
                found = attempt(catalog)
            except VaultError as error:
                failed = failed if isinstance(failed, Damaged) else error
                if isinstance(error, Away):
                    self._away.add(at)
                continue
            if failed is not None:
                self.notes.setdefault(f"{name} {at}", f"{failed}: read from {at} instead")
            return found
        assert failed is not None
        raise failed


def _read(catalog: Catalog, name: str, position: tuple[int, int], check: Check) -> bytes:
    store, (offset, length) = catalog.destination, position
    data = store.read(catalog.service, name, offset, length, check)
    if len(data) < length:
        where = f"{store.name}:{catalog.service}/{name}"
        raise Damaged(where, f"ends {length - len(data):,} bytes before it should")
    return data
