"""The parent's index, as a stream that goes along with the walk; and what counts as unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.items import Kept
from vault.archive.format import order

if TYPE_CHECKING:
    import os

    from stages.facts import Base
    from stages.source.previous_index import PreviousIndex
    from stages.source.walk import Found
    from vault.archive.format import Block, Entry

SETTLED_NS = 2_000_000_000
"""A file's times must be this much older than the pass that recorded it to be believed."""


def border(barrier: int) -> int:
    """Give the time before which the times that a pass recorded, begun at `barrier`, are believed.

    All in nanoseconds since 1970: a write in the tick of the reading would leave them as they were.
    """
    return barrier - SETTLED_NS


def untouched(old: Entry, now: os.stat_result, border: int) -> bool:
    """Say whether nothing has touched a file since it was recorded.

    Size, times and inode must be as recorded, and the times before the `border` of that pass.
    """
    ctime, mtime = old.ctime, old.mtime
    return (  # ends with what `settled` says, written out: this is asked for a million files
        ctime == now.st_ctime_ns
        and mtime == now.st_mtime_ns
        and old.inode == now.st_ino
        and (old.size == now.st_size or old.type != "file")
        and ctime < border
        and mtime < border
        and not old.unsettled
    )


def settled(entry: Entry, border: int) -> bool:
    """Say whether the times of what was recorded can be believed."""
    return entry.ctime < border and entry.mtime < border and not entry.unsettled


class Previous:
    """The parent's index, as a stream of blocks that goes along with the walk."""

    def __init__(self, base: Base, index: PreviousIndex) -> None:
        self.files = 0
        self._border = border(0)
        self._archives = base.usable
        self._all_usable = False
        self._blocks = index.blocks()
        if base.parent:
            self.files = base.parent.files
            self._border = border(base.parent.barrier)
            used = {base.parent.id, *(archive.id for archive in base.parent.archives)}
            self._all_usable = used <= self._archives.keys()
        self._block: Block | None = None
        self._entries: list[Entry] = []
        """Those of the block."""
        self._at = 0
        self._waiting: list[Entry] = []
        """Unchanged ones, one behind the other, that have not gone on."""
        self._altered = False
        """An entry of the block does not go on as it stands in it."""
        self.last: Entry | None = None
        """What the parent had at the path that was asked for last."""

    def unchanged(self, found: Found) -> Entry | None:
        """Give the parent's entry of this path, if nothing has touched the file since."""
        # The next entry, as a rule; only the root's path, and one that is not UTF-8, are "".
        at, path = self._at, found.path
        if at < len(self._entries) and path and self._entries[at].path == path:
            old: Entry | None = self._entries[at]
            self._at = at + 1
        else:
            old = self._find(path)
        self.last = old
        now = found.stat
        if old is None or not untouched(old, now, self._border) or not self._usable(old):
            return None
        if old.link and old.link[0] != now.st_dev:  # device numbers change with a reboot
            old.link = (now.st_dev, now.st_ino)
            self._altered = True
        return old

    def keep(self, old: Entry) -> Kept | None:
        """Let an unchanged entry go on: with those before it, once its block is through."""
        self._waiting.append(old)
        return self.release() if self._at == len(self._entries) else None

    def release(self) -> Kept | None:
        """Give what waits, before something new does."""
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
            following = next(self._blocks, None)
            if following is None:
                return None
            self._block, self._entries = following
            self._at = 0
            self._altered = False

    def _usable(self, entry: Entry) -> bool:
        if self._all_usable:
            return True
        for chunk in entry.chunks:  # noqa: SIM110 (a generator costs more than the answer)
            if chunk[1] not in self._archives:
                return False
        return True
