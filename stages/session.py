"""What the stages of one run share: the context of a backup, and that of a restore."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import zstandard

from stages.errors import SourceError
from stages.restore_target.layout import Layout
from stages.restore_target.resume import Marker, Nothing, Standing
from vault.archive.format import ArchiveName, Header
from vault.archive.index import read_blocks
from vault.catalog.catalog import Catalog
from vault.errors import NotThere, VaultError
from vault.store.local import Local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.run import Run
    from stages.journal import Journal
    from stages.replicas import Copies
    from stages.source.attributes import Unset
    from stages.warm import WarmLog
    from vault.archive.format import Block, Entry, Manifest
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.cache import CatalogCache
    from vault.errors import Away
    from vault.spool import Spool
    from vault.store.base import Destination, Stored

READY_ENTRIES = 100_000
"""So much of the parent's index is decoded before the stop: memory, some 70 MB."""
LOST_NAMED = 20
"""Lost files that are named."""


@dataclass
class Standstill:
    """How long the service's containers have stood still."""

    since: float | None = None
    """Ticks of the first stop; None when nothing stands still."""
    deadline: float = math.inf
    seconds: float | None = None
    """How long it was, once it is over."""
    reached: bool = False
    """All of them were stopped."""

    def begin(self, ticks: float, most: int | None) -> None:
        """Count from now on; `most` is the longest downtime, in seconds."""
        self.since = ticks
        self.deadline = ticks + most if most else math.inf

    def end(self, ticks: float) -> None:
        """Count no longer."""
        if self.since is not None:
            self.seconds = round(ticks - self.since, 3)
        self.since, self.deadline = None, math.inf

    def check(self, ticks: float) -> None:
        """Raise SourceError when it takes longer than it may."""
        if ticks > self.deadline:
            raise SourceError(
                "the containers stood still for longer than docker.max_downtime",
                "they were started again and nothing was stored; allow more, or see what is slow",
            )


@dataclass(kw_only=True)
class Session:
    """What backup and restore have in common: a service that may have to stand still."""

    journal: Journal
    secret: Callable[[Any], str]
    """Turns the reference to a secret into its text."""
    log: str | None = None
    """The file that takes what commands print."""
    standstill: Standstill = field(default_factory=Standstill)
    guarded: bool = False
    """The source is at rest: something was stopped or dumped for it."""

    def get_ready(self, run: Run[Any]) -> None:
        """Wait for what would be waited for later, with containers down; raises VaultError."""


@dataclass
class BackupSession(Session):
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
    not_brought: dict[tuple[str, str], VaultError] = field(default_factory=dict)
    """(destination, archive) -> why the one still lacks the other, which it should have."""
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
    warm: WarmLog | None = None
    """What the warm pass has read."""
    keep_index: bool = False
    """Remember the index segments that are fetched: they are wanted again, and soon."""
    dumping: int | None = None
    """Nanoseconds since 1970 when the command before the backup began."""
    manifest: Manifest | None = None

    _opened: dict[tuple[str, str], Archive] = field(default_factory=dict)
    _index: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _ready_index: Iterator[tuple[Block, list[Entry]]] | None = None

    def __post_init__(self) -> None:
        folder, name = os.path.split(self.spool_path)
        self.waiting = Catalog(Local("spool", folder), name)

    def get_ready(self, run: Run[Any]) -> None:
        """Read the parent's index, and wait until the spool has room for what is left to read."""
        self.keep_index = True
        blocks, ahead, entries = self.parent_index(), [], 0  # the first one fetches for all
        while entries < READY_ENTRIES and (block := next(blocks, None)):
            ahead.append(block)
            entries += len(block[1])
        self._ready_index = chain(ahead, blocks)
        if self.spool and self.warm:
            self.spool.make_room(self.warm.left, run.check)

    def parent_index(self) -> Iterator[tuple[Block, list[Entry]]]:
        """Give the blocks of the parent's index with their entries; raises VaultError."""
        ready, self._ready_index = self._ready_index, None
        if ready is None and self.parent:
            ready = read_blocks(self.parent.manifest.index, self.fetch, self.parent.where)
        return ready or iter(())

    def fetch(self, archive_id: str, number: int) -> bytes:
        """Read an index segment from any destination that has it sound; raises VaultError."""
        if (archive_id, number) in self._index:
            return zstandard.decompress(self._index[archive_id, number])
        segment = self._fetch(archive_id, number)
        if self.keep_index:
            self._index[archive_id, number] = zstandard.compress(segment, 1)
        return segment

    def _fetch(self, archive_id: str, number: int) -> bytes:
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
class RestoreSession(Session):
    """One backup on its way back from one destination."""

    service: str
    keys: Keys
    destination: Destination
    """The nearest one that has the backup."""
    copies: Copies
    """Where its bytes come from."""
    backup: Archive
    paths: tuple[str, ...]
    """What to restore; everything when empty."""
    target: str
    in_place: bool = False
    """The target is a staging folder, which takes the place of the service's own at the end."""

    mtime: int = 0
    """Of the service's folder before anything was staged in it, in nanoseconds."""

    # Made on the way:
    aside: str | None = None
    """Where what was there is now."""
    layout: Layout = field(default_factory=Layout)
    """Which piece of which frame goes where."""
    downloaded: int = 0
    files: int = 0
    size: int = 0
    """Bytes of the files restored."""
    unset: dict[str, Unset] = field(default_factory=dict)
    """What could not be set, and on which files: owner, xattr names, devices."""
    lost: list[str] = field(default_factory=list)
    """Files that are not restored: what they need is damaged wherever it is."""
    damage: dict[str, VaultError] = field(default_factory=dict)
    """Archive id -> the damage, by which they are lost."""

    def lose(self, archive_id: str, number: int, error: VaultError) -> None:
        """Go on without a frame: the files that need it are lost, and the others are not."""
        self.layout.lose(archive_id, number)
        self.damage.setdefault(archive_id, error)

    def require_whole(self) -> None:
        """Raise VaultError when files are lost: what is there now must not give way to less."""
        if self.lost:
            raise VaultError(
                f"{self.lost_text()}; so nothing was changed",
                f"packrat restore {self.service} --to DIR restores all the other files to a"
                " folder, and --backup takes an older backup",
            )

    def lost_text(self) -> str:
        """Say which files are lost, and why."""
        why = "; ".join(sorted(str(error) for error in self.damage.values()))
        named = ", ".join(self.lost[:LOST_NAMED])
        more = f" and {len(self.lost) - LOST_NAMED:,} more" * (len(self.lost) > LOST_NAMED)
        lost = f"{len(self.lost):,} file{'s' * (len(self.lost) != 1)} cannot be restored"
        return f"{lost}, for no copy of what they need is good ({why}): {named}{more}"

    @property
    def marker(self) -> Marker:
        """What marks the target until this restore is through."""
        return Marker(self.service, self.backup.manifest.id, self.paths)

    def standing(self) -> Standing | Nothing:
        """Give what stands in the target since this restore was cut off; raises TargetError."""
        if self.target and self.marker.goes_on(self.target):
            return Standing(self.target, self.keys.naming_key)
        return Nothing()

    def fetch(self, archive_id: str, number: int) -> bytes:
        """Read one index segment."""
        return self.copies.index(archive_id, number)
