"""What the stages of one run share: the context of a backup, and that of a restore."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stages.layout import Layout
from vault.catalog import Catalog
from vault.errors import NotThere, VaultError
from vault.format import ArchiveName, Header
from vault.local import Local

if TYPE_CHECKING:
    from vault.archive import Archive
    from vault.cache import CatalogCache
    from vault.destination import Destination, Stored
    from vault.errors import Away
    from vault.format import Manifest
    from vault.keys import Keys
    from vault.spool import Spool


@dataclass
class BackupSession:
    """One service's backup, from the survey to the last confirmation."""

    service: str
    host: str
    keys: Keys
    destinations: dict[str, Destination]
    cache: CatalogCache
    spool_path: str
    """Folder for the archives of this service that are not at any destination yet."""
    readers: tuple[str, ...]
    """The destinations that have a branch."""
    archive_id: bytes
    source: str = ""
    """The service's folder, for people."""
    take_over: bool = False
    """Accept another host's backups as the history of this service."""

    accept_shrink: bool = False
    """Take a backup that has lost more than half of its files or bytes for a normal one."""

    # Found by the survey:
    time: str = ""
    catalogs: dict[str, Catalog] = field(default_factory=dict)
    waiting: Catalog = field(init=False)
    """What waits in the spool since no destination could take it."""
    away: dict[str, Away] = field(default_factory=dict)
    """Destination -> why it cannot be used in this run."""
    parent: Archive | None = None
    usable: dict[str, Stored] = field(default_factory=dict)
    """Archive id -> file, of the archives that this run may refer to."""

    # Made on the way:
    barrier: int = 0
    """Nanoseconds since 1970, just before the pass over the source."""
    missed: int = 0
    """Files that could not be read."""
    spool: Spool | None = None
    spooling: threading.Event = field(default_factory=threading.Event)
    """Set once `spool` is there."""
    manifest: Manifest | None = None

    _opened: dict[tuple[str, str], Archive] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder, name = os.path.split(self.spool_path)
        self.waiting = Catalog(Local("spool", folder), name)

    def fetch(self, archive_id: str, number: int) -> bytes:
        """Read an index segment from any destination that has it sound; raises VaultError."""
        failed: VaultError = NotThere(f"no destination has archive {archive_id}")
        for catalog in [*self.catalogs.values(), self.waiting]:
            if held := catalog.standing.get(archive_id):
                place = (catalog.destination.name, archive_id)
                try:
                    if place not in self._opened:
                        self._opened[place] = catalog.open(held.stored.name, self.keys)
                    return self._opened[place].frame(number, b"i")
                except VaultError as error:
                    failed = error
        failed.hint = f"packrat backup --full {self.service} builds on no older backup"
        raise failed

    @property
    def header(self) -> Header:
        """The clear beginning of the archive being made."""
        return Header(self.archive_id, self.keys.key_id, self.keys.derivation)

    @property
    def name(self) -> str:
        """The final name of the archive being made."""
        return str(ArchiveName(self.service, self.time, self.archive_id[:4].hex()))


@dataclass
class RestoreSession:
    """One backup on its way back from one destination."""

    service: str
    keys: Keys
    destination: Destination
    catalog: Catalog
    backup: Archive
    paths: tuple[str, ...]
    """What to restore; everything when empty."""
    target: str

    # Made on the way:
    archives: dict[str, Archive] = field(default_factory=dict)
    """Archive id -> opened archive."""
    layout: Layout = field(default_factory=Layout)
    """Which piece of which frame goes where."""
    downloaded: int = 0
    files: int = 0
    size: int = 0
    """Bytes of the files restored."""
    unset: dict[str, int] = field(default_factory=dict)
    """What could not be set, and how often: owner, xattr names, devices."""

    def archive(self, archive_id: str) -> Archive:
        """Give an archive that the backup refers to, opened once; raises what opening raises."""
        if archive_id not in self.archives:
            if archive_id == self.backup.manifest.id:
                self.archives[archive_id] = self.backup
            else:
                name = self.catalog.standing[archive_id].stored.name
                self.archives[archive_id] = self.catalog.open(name, self.keys)
        return self.archives[archive_id]

    def fetch(self, archive_id: str, number: int) -> bytes:
        """Read one index segment."""
        return self.archive(archive_id).frame(number, b"i")
