"""Facts and resources that stages provide for each other, or that the program gives a run."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stages.in_place.record import Load
    from stages.source.attributes import Unset
    from vault.archive.format import Entry, Manifest
    from vault.archive.lineage import Lineage
    from vault.catalog.catalog import Catalog
    from vault.catalog.verdict import Verdict
    from vault.errors import Away, VaultError
    from vault.store.base import Store, Stored


# Given by the program.


class Job(Struct, frozen=True, kw_only=True):
    """Service whose archives a run makes, deletes or verifies."""

    service: str
    host: str
    """Name of this machine in the archives."""
    archive_id: bytes = b""
    """Id of the archive that a backup makes; 16 random bytes."""
    destinations: tuple[str, ...] = ()
    """Destinations to which a backup uploads."""
    take_over: bool = False
    """Accept another host's backups as the history of this service."""
    accept_shrink: bool = False
    """Treat a backup that has lost more than half of its files or bytes as a normal one."""

    @property
    def own(self) -> str:
        """The archive id in hexadecimal digits."""
        return self.archive_id.hex()


class RestoreJob(Struct, frozen=True, kw_only=True):
    """Backup and paths to restore, and the target."""

    service: str
    backup: Manifest
    where: str
    """Destination, service and name of the archive, for messages."""
    paths: tuple[str, ...] = ()
    """Paths to restore, with everything below them; everything if empty."""
    target: str = ""
    """Folder to write to; in place, the staging folder."""
    in_place: bool = False


class StateFolder(Struct, frozen=True):
    """Folder for locks, caches and the records of in-place restores."""

    path: str


class CommandLog(Struct, frozen=True):
    """File to which the output of commands is appended; None for none."""

    file: str | None = None
    run: str = ""
    """The run that they belong to, for example `backup 1a2b3c4d`."""


class ScratchFolder(Struct, frozen=True):
    """Folder for temporary files; empty for the system's default."""

    folder: str = ""

    @classmethod
    def of(cls, state_dir: str) -> ScratchFolder:
        """Choose the state folder, or the system's own if that has more room.

        The system's may be small and in memory, the disk of the state may be full.
        """
        if not os.access(state_dir, os.W_OK):
            return cls()
        free, elsewhere = (shutil.disk_usage(at).free for at in (state_dir, tempfile.gettempdir()))
        return cls(state_dir if free >= elsewhere else "")


class Secrets:
    """Resolver of the references to secrets in parameters."""

    def __init__(self, resolve: Callable[[Any], str]) -> None:
        self.text = resolve


class Stores(dict[str, "Store"]):
    """Stores by the name of their destination."""


class DowntimeClock:
    """Clock that measures how long the service's containers are down, and limits it."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._deadline = math.inf
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """True while containers are down."""
        return self._since is not None

    def begin(self, ticks: float, most: int | None) -> None:
        """Start the clock; `most` is the longest downtime in seconds."""
        with self._lock:
            self._since = ticks
            self._deadline = ticks + most if most else math.inf

    def end(self, ticks: float) -> float | None:
        """Stop the clock; return the downtime in seconds, None if the clock was not running."""
        with self._lock:
            since, self._since, self._deadline = self._since, None, math.inf
        return None if since is None else round(ticks - since, 3)

    def check(self, ticks: float) -> None:
        """Raise SourceError if the containers have been down for longer than allowed."""
        if ticks > self._deadline:
            raise SourceError(
                "the containers were down for longer than docker.max_downtime",
                "they were started again and nothing was stored; raise max_downtime, or find out"
                " what is slow",
            )


# Provided by a backup.


class Holdings(Struct, frozen=True):
    """Archives that each destination had when it was listed."""

    catalogs: dict[str, Catalog]
    away: dict[str, Away]
    """Destination -> why it cannot be used in this run."""
    waiting: Catalog
    """Archives that wait in the spool because no destination could take them."""

    def at(self, destination: str) -> Catalog:
        """Return the archives that a destination had; raises Away."""
        if away := self.away.get(destination):
            raise away
        return self.catalogs[destination]


class Base(Struct, frozen=True):
    """Name of a new archive, and the backup that it builds on."""

    name: str
    """Final name of the file."""
    time: str
    lineage: Lineage
    parent: Manifest | None = None
    usable: Mapping[str, Stored] = {}
    """Archive id -> file, for the archives that the new one may refer to."""


class Dump(Struct, frozen=True):
    """Start of the command before the backup, in nanoseconds since 1970; None without one."""

    since: int | None = None


class Dumped(Struct, frozen=True):
    """Dumps of databases whose data was read: label -> the root's folder, then its streams."""

    entries: Mapping[str, tuple[Entry, ...]] = {}


class Present(Struct, frozen=True):
    """Databases whose present state was dumped, before a restore in place or its undo."""

    loads: Mapping[str, Load] = {}
    """Label of a database -> the dumps to load once they are exchanged."""


class AtRest(Struct, frozen=True):
    """State of the containers whose files are read."""

    looked: bool = False
    """They were looked at, and those that ran were stopped."""


class Downtime(Struct, frozen=True):
    """Seconds that the containers were down; None if none was stopped."""

    seconds: float | None = None


class SourceReport(Struct, frozen=True):
    """Result of the pass over the source."""

    barrier: int
    """Nanoseconds since 1970, just before the pass."""
    files: Mapping[str, int]
    """Label of a root -> its files."""
    missed: int
    """Files that could not be read."""


class CaughtUp(Struct, frozen=True):
    """Archives that the destination of this branch had missed."""

    destination: str = ""
    archives: tuple[Stored, ...] = ()
    """Archives that were copied to it."""
    errors: Mapping[str, VaultError] = {}
    """Archive -> why it could not be copied."""


class Published(Struct, frozen=True):
    """Publication of the new archive under its final name at a destination."""

    destination: str


class Pruned(Struct, frozen=True):
    """Archives that were deleted at a destination, or would be: expired and forgotten ones."""

    destination: str
    archives: tuple[Stored, ...] = ()
    forgotten: frozenset[str] = frozenset()
    """Names of those that somebody deleted while the destination was away."""
    problem: str = ""
    """Why nothing was deleted, if something is wrong."""


class Verified(Struct, frozen=True):
    """Verdicts of a verification at one destination."""

    verdicts: tuple[Verdict, ...]


class DumpsProven(Struct, frozen=True):
    """Dumps of databases that their engine's program has read, at one destination."""

    destination: str
    archive: str
    """File name of the backup that has them; empty for none."""
    unsound: Mapping[str, str] = {}
    """Path of a dump that cannot be read -> what is wrong."""


# Provided by a restore.


class Selected(Struct, frozen=True):
    """Files that an interrupted restore has already written, and their bytes."""

    files: int
    size: int


class Downloaded(Struct, frozen=True):
    """Bytes that were read from destinations, without the index."""

    bytes: int


class Written(Struct, frozen=True):
    """Files that were written to the target."""

    files: int
    size: int
    unset: Mapping[str, Unset]
    """Attribute that could not be set -> the files."""
    lost: tuple[str, ...]
    """Files that could not be restored, since the data they need is damaged everywhere."""


class Swapped(Struct, frozen=True):
    """Completed exchange of an in-place restore: the new tree is in place."""

    replaced: tuple[str, ...]
    """Folders that hold what was there before, one for each root."""
    since: int
    """Time of the exchange, in seconds since 1970."""
