"""The parent's index, as a stream that goes along with the walk; and what counts as unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.items import Kept, Piece
from vault.format import order

if TYPE_CHECKING:
    import os

    from stages.session import BackupSession
    from stages.source.walk import Found
    from vault.format import Block, Entry

SETTLED_NS = 2_000_000_000
"""A file's times must be this much older than the pass that recorded it to be believed."""


def untouched(old: Entry, now: os.stat_result, barrier: int) -> bool:
    """Say whether nothing has touched a file since a pass that began at `barrier` recorded it.

    Size, times and inode must be as recorded, and the times older than that pass by 2 s: a write
    in the tick of the reading would leave them as they were.
    """
    return (
        old.ctime == now.st_ctime_ns
        and old.mtime == now.st_mtime_ns
        and old.inode == now.st_ino
        and (old.size == now.st_size or old.type != "file")
        and settled(old, barrier)
    )


def settled(entry: Entry, barrier: int) -> bool:
    """Say whether the times of what a pass recorded, which began at `barrier`, can be believed."""
    border = barrier - SETTLED_NS
    return entry.ctime < border and entry.mtime < border and not entry.unsettled


class Parent:
    """The parent's index, as a stream of blocks that goes along with the walk."""

    def __init__(self, session: BackupSession) -> None:
        self.files = 0
        self._limit = 0
        self._archives = session.usable
        self._all_usable = False
        self._blocks = session.parent_index()
        if session.parent:
            manifest = session.parent.manifest
            self.files = manifest.files
            self._limit = manifest.barrier
            used = {manifest.id, *(archive.id for archive in manifest.archives)}
            self._all_usable = used <= self._archives.keys()
        self._block: Block | None = None
        self._entries: list[Entry] = []
        self._at = 0
        self._intact = False
        """Nothing of this block has changed so far, and its entries wait in `_waiting`."""
        self._waiting: list[Entry] = []
        self._ready: list[Piece] = []
        self.last: Entry | None = None
        """What the parent had at the path that was asked for last."""

    def unchanged(self, found: Found) -> Entry | None:
        """Give the parent's entry of this path, if nothing has touched the file since."""
        old = self._find(found.path)
        now = found.stat
        self.last = old
        if old is not None and untouched(old, now, self._limit) and self._usable(old):
            if old.link and old.link[0] != now.st_dev:  # device numbers change with a reboot
                old.link = (now.st_dev, now.st_ino)
                self._break()
            return old
        if self._intact:  # something new or changed stands in the middle of the block
            self._break()
        return None

    def keep(self, old: Entry) -> list[Piece]:
        """Go on with an unchanged entry: alone, or with its block once that is through."""
        if not self._intact:
            return [*self._released(), Piece(old)]
        self._waiting.append(old)
        if self._at < len(self._entries) or self._block is None:
            return []
        entries, self._waiting = self._waiting, []
        files = sum(entry.type != "dir" for entry in entries)
        size = sum(entry.size for entry in entries)
        return [*self._released(), Piece(entries[0], kept=Kept(self._block, entries, files, size))]

    def release(self) -> list[Piece]:
        """Give what waited for its block one by one: something new comes between."""
        self._break()
        return self._released()

    @property
    def waits(self) -> bool:
        """Whether `release` has something to give."""
        return bool(self._waiting or self._ready)

    def _break(self) -> None:
        """Give up the block: its entries do not go on as a whole."""
        self._intact = False
        self._ready += [Piece(entry) for entry in self._waiting]
        self._waiting = []

    def _released(self) -> list[Piece]:
        ready, self._ready = self._ready, []
        return ready

    def _find(self, path: str) -> Entry | None:
        """Go forward in the parent to a path; what it had before that is gone."""
        while True:
            while self._at < len(self._entries):
                old = self._entries[self._at]
                name = old.name
                if name == path:
                    self._at += 1
                    return old
                if order(name) > order(path):
                    return None
                self._at += 1
                self._break()
            following = next(self._blocks, None)
            if following is None:
                return None
            self._block, self._entries = following
            self._at = 0
            self._intact = True

    def _usable(self, entry: Entry) -> bool:
        if self._all_usable:
            return True
        for chunk in entry.chunks:  # noqa: SIM110 (a generator costs more than the answer)
            if chunk[1] not in self._archives:
                return False
        return True
