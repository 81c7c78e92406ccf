"""The parent's index, as a stream parallel to the walk, and the rule for unchanged files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.items import Kept
from vault.archive.format import order

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from stages.facts import Base
    from stages.source.previous_index import PreviousIndex
    from stages.source.walk import Found
    from vault.archive.format import Block, Entry

SETTLED_NS = 2_000_000_000
"""File times are trusted if they are this much older than the pass that recorded them."""


def trusted_before(barrier: int) -> int:
    """Return the time before which file times recorded by a pass begun at `barrier` are trusted.

    All in nanoseconds since 1970. A write in the same clock tick as the read would leave the times
    unchanged.
    """
    return barrier - SETTLED_NS


def untouched(old: Entry, now: os.stat_result, trusted_before: int) -> bool:
    """Return whether a file is unchanged since it was recorded.

    Size, times and inode must be as recorded, and the times before `trusted_before` of that pass.
    """
    ctime, mtime = old.ctime, old.mtime
    return (  # `has_trusted_times` is written out because this runs for a million files
        ctime == now.st_ctime_ns
        and mtime == now.st_mtime_ns
        and old.inode == now.st_ino
        and (old.size == now.st_size or old.type != "file")
        and ctime < trusted_before
        and mtime < trusted_before
        and not old.unsettled
    )


def has_trusted_times(entry: Entry, trusted_before: int) -> bool:
    """Return whether the times of a recorded entry can be trusted."""
    return entry.ctime < trusted_before and entry.mtime < trusted_before and not entry.unsettled


def inherit(entry: Entry, old: Entry | None) -> None:
    """Keep the average size of the chunks of a file that has changed since `old`."""
    if old is not None and entry.type == "file":
        entry.average = old.average


class Previous:
    """Stream of the blocks of the parent's index, read in step with the walk."""

    def __init__(self, base: Base, index: PreviousIndex) -> None:
        self._trusted_before = trusted_before(0)
        self._archives = base.usable
        self._all_usable = False
        self._lists = index.lists
        self._blocks = index.blocks()
        if base.parent:
            self._trusted_before = trusted_before(base.parent.barrier)
            used = {base.parent.id, *(archive.id for archive in base.parent.archives)}
            self._all_usable = used <= self._archives.keys()
        self._block: Block | None = None
        self._entries: Sequence[Entry] = []
        """Entries of the current block."""
        self._at = 0
        self._waiting: list[Entry] = []
        """Consecutive unchanged entries that have not been passed on."""
        self._altered = False
        """An entry of the block is not passed on unchanged."""
        self.last: Entry | None = None
        """The parent's entry at the last requested path."""

    def unchanged(self, found: Found) -> Entry | None:
        """Return the parent's entry of this path if the file is unchanged since."""
        # Usually the next entry; only the root's path, and one that is not UTF-8, are "".
        at, path = self._at, found.path
        if at < len(self._entries) and path and self._entries[at].path == path:
            old: Entry | None = self._entries[at]
            self._at = at + 1
        else:
            old = self._find(path)
        self.last = old
        now = found.stat
        if old is None or not untouched(old, now, self._trusted_before) or not self._usable(old):
            return None
        if old.link and old.link[0] != now.st_dev:  # device numbers change with a reboot
            old.link = (now.st_dev, now.st_ino)
            self._altered = True
        return old

    def keep(self, old: Entry) -> Kept | None:
        """Pass an unchanged entry on: with the previous ones, once its block is complete."""
        self._waiting.append(old)
        return self.release() if self._at == len(self._entries) else None

    def release(self) -> Kept | None:
        """Return the entries that wait, before something new is passed on."""
        entries, self._waiting = self._waiting, []
        if not entries:
            return None
        whole = len(entries) == len(self._entries) and entries[0] is self._entries[0]
        return Kept(
            self._block if whole and not self._altered else None,
            entries,
            sum(entry.type != "dir" for entry in entries),
            sum(entry.size for entry in entries),
        )

    def _find(self, path: str) -> Entry | None:
        """Go forward in the parent to a path; earlier entries are skipped for good."""
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
            following = next(self._blocks, None)
            if following is None:
                return None
            self._block, self._entries = following
            self._at = 0
            self._altered = False

    def _usable(self, entry: Entry) -> bool:
        if self._all_usable:
            return True
        for chunk in self._lists.references(entry):  # noqa: SIM110 (a generator costs more)
            if chunk[1] not in self._archives:
                return False
        return True
