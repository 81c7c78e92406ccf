"""Record of what the warm pass has read, for the walk after the stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from stages.source.entry_log import EntryLog
from stages.source.folder_cache import FolderCache
from stages.source.previous import has_trusted_times, trusted_before, untouched

if TYPE_CHECKING:
    from stages.source.walk import Found
    from vault.archive.format import Entry


class WarmRecord:
    """Files in the order of the walk, and the names in each folder; empty without a warm pass."""

    def __init__(self, barrier: int = 0, scratch: str = "") -> None:
        """Start with no root; `scratch` is the folder for temporary data.

        `barrier` is the time just before the pass, in nanoseconds since 1970.
        """
        self.folders: dict[str, FolderCache] = {}
        """Label of a root that the pass covers -> the names in its folders."""
        self.left = 0
        """Known bytes of files that must be read again."""
        self._barrier, self._scratch = barrier, scratch
        self._trusted_before = trusted_before(barrier)
        self._log: EntryLog | None = None

    @property
    def covers(self) -> bool:
        """False if there was no warm pass."""
        return bool(self.folders)

    def cover(self, label: str, root: int) -> None:
        """Add an open root, which is read next; roots come in the order of the archive."""
        self.folders[label] = FolderCache(root, self._barrier)
        self._log = self._log or EntryLog(self._scratch)

    def add(self, entry: Entry) -> None:
        """Record a file that was read to its end."""
        if self._log and has_trusted_times(entry, self._trusted_before):
            self._log.add(structs.replace(entry, chunks=[], lists=[]))
        else:
            self.left += entry.size

    def unchanged(self, found: Found) -> Entry | None:
        """Return the entry that was read at this path if the file is unchanged since.

        Paths must come in the order of the walk.
        """
        read = self._log.find(found.path) if self._log else None
        return read if read and untouched(read, found.stat, self._trusted_before) else None

    def close(self) -> None:
        """Delete the data on disk."""
        if self._log:
            self._log.close()
