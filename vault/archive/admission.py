"""Admission of entries to an index that is being written: only restorable ones are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from vault.archive.check_entry import Implausible
from vault.archive.check_index import IndexCheck, content_hash

if TYPE_CHECKING:
    from collections.abc import Collection

    from vault.archive.format import Entry
    from vault.archive.lineage import Root

SEPARATED_DEVICE = 2**63
"""Device numbers from here on are not the kernel's: they separate files that shared an inode."""


class Admission:
    """Check of an index for its writer: a refused entry affects nothing else."""

    def __init__(self, archive: str, roots: Collection[Root] = ()) -> None:
        """Admit entries to the archive with the id `archive`, which is being written."""
        self._check = IndexCheck(archive, roots=roots)
        self._separated: dict[tuple[tuple[int, int], int], tuple[int, int]] = {}

    def admit(self, entry: Entry) -> tuple[Entry, str | None]:
        """Return the entry as it enters the index, and the reason why it must not, or None.

        The reason ends a sentence that begins with the entry's path. A refused entry is treated as
        if it had never been offered; what is below a refused folder is refused as well.
        """
        if entry.link:
            entry = self._separate(entry)
        try:
            self._check.accept(entry)
        except Implausible as wrong:
            return entry, str(wrong)
        return entry, None

    def _separate(self, entry: Entry) -> Entry:
        """Return an entry with another link if the file is not the one that had this link before.

        A filesystem gives the inode of a deleted file to a new one at once, also during a backup,
        and a file may change between the readings of two of its names.
        """
        assert entry.link
        if not self._check.differs(entry):
            return entry
        key = entry.link, content_hash(entry)
        new = SEPARATED_DEVICE + len(self._separated), entry.link[1]
        return structs.replace(entry, link=self._separated.setdefault(key, new))
