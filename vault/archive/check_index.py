"""Checks of an index: whatever passes them can be restored.

The same code runs before an archive is published, in every verification, and in a restore before
the first byte is written. Even an archive made with the right key may be malicious. The rules are
those of "What a reader refuses" in docs/format.md; rescue.py implements them a second time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vault.archive import ranges
from vault.archive.check_entry import Implausible, check_entry
from vault.archive.format import order
from vault.archive.lineage import PATH_ROOT, STREAMED
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from vault.archive.format import Entry, Summary
    from vault.archive.lineage import Root

_UNNAMED = frozenset(("", ".", ".."))


def known_archives(manifest: Summary) -> set[str]:
    """Return the ids of the archives that entries may refer to."""
    return {manifest.id, *(other.id for other in manifest.archives)}


class IndexCheck:
    """Check of the entries of one index, in their order.

    Memory grows only with the files that have several names, about 200 bytes each.
    """

    def __init__(
        self,
        archive: str,
        known: Container[str] | None = None,
        roots: Collection[Root] = (),
    ) -> None:
        """Check entries that refer to the archives `known`; errors name `archive`.

        Without `roots` there is a single one, whose entries have no label.
        """
        self._archive = archive
        self._known = known
        kinds: dict[str, str] = {root.label: root.kind for root in roots if root.label != PATH_ROOT}
        self._roots = RootsCheck(kinds) if kinds else None
        self._last: bytes | None = None
        self._above = [""]
        """Folders that the next entry may be in, each inside the previous one."""
        self._links: dict[tuple[int, int], int] = {}
        self.entries = self.files = 0

    def check(self, entry: Entry) -> None:
        """Accept the next entry; raises Damaged for one that cannot be restored."""
        try:
            self.accept(entry)
        except Implausible as wrong:
            shown = entry.path64 or entry.path  # a wrong path64 has no name
            with suppress(Damaged):
                shown = entry.name
            raise Damaged(self._archive, f"{shown!r} {wrong}") from None

    def accept(self, entry: Entry) -> None:
        """Accept the next entry as the new last one; raises Implausible for a wrong one."""
        try:
            name = entry.name
            key = order(name)
        except (Damaged, UnicodeEncodeError):
            raise Implausible("has a path that is no name in base64 or UTF-8") from None
        if self._last is not None and key <= self._last:
            raise Implausible("is listed twice in the index, or out of order")
        if len(key) > ranges.PATH_BYTES:
            raise Implausible(f"has a path of more than {ranges.PATH_BYTES:,} bytes")
        folder, slash, own = name.rpartition("/")
        if not name:
            if entry.type != "dir":
                raise Implausible("is the service's folder, and not a folder")
        elif own in _UNNAMED or "\0" in own or (slash and not folder):
            raise Implausible("is not a path that a backup can hold")
        above = self._above
        at = len(above) - 1  # position of the entry's folder in the list
        while above[at] != folder:
            if not at:
                raise Implausible("is in a folder that the backup does not have")
            at -= 1
        if self._roots:
            self._roots.check(name, entry.type)
        elif entry.type == "stream":
            raise Implausible("is a stream outside of a dump or definition")
        check_entry(entry, self._known)
        if entry.link:
            self._check_link(entry)
        self._last = key
        self.entries += 1
        self.files += entry.type != "dir"
        if at + 1 < len(above):
            del above[at + 1 :]
        if entry.type == "dir" and name:
            above.append(name)

    def differs(self, entry: Entry) -> bool:
        """Return whether an entry has the link of an earlier one but other content."""
        known = self._links.get(entry.link) if entry.link else None
        return known is not None and known != content_hash(entry)

    def check_totals(self, manifest: Summary) -> None:
        """Compare the totals with those that the manifest states; raises Damaged."""
        if (self.entries, self.files) != (manifest.entries, manifest.files):
            raise Damaged(
                self._archive,
                f"has {self.entries:,} entries, {self.files:,} of them files; its manifest says"
                f" {manifest.entries:,} and {manifest.files:,}",
            )
        if self._roots and (absent := self._roots.absent):
            raise Damaged(self._archive, f"has no entry of its root {absent[0]!r}")

    def _check_link(self, entry: Entry) -> None:
        assert entry.link
        if entry.type == "dir":
            raise Implausible("is a folder with several names")
        content = content_hash(entry)
        if self._links.setdefault(entry.link, content) != content:
            raise Implausible("differs from the file that it is another name of")


class RootsCheck:
    """Check of the entries of an archive whose paths begin with the label of a root."""

    def __init__(self, kinds: dict[str, str]) -> None:
        """Check against these labels and the kinds of their roots."""
        self._kinds = kinds
        self._seen: set[str] = set()

    @property
    def absent(self) -> list[str]:
        """Labels of roots without an entry, so far."""
        return sorted(self._kinds.keys() - self._seen)

    def check(self, name: str, type_: str) -> None:
        """Check one entry; raises Implausible."""
        label = name.partition("/")[0]
        if not name:
            return
        if label not in self._kinds:
            raise Implausible("is in no root of the backup")
        self._seen.add(label)
        kind = self._kinds[label]
        if kind not in STREAMED and name == label and type_ != "dir":
            raise Implausible(f"is a {kind} as a whole, and not a folder")
        if type_ != "dir" and (kind in STREAMED) != (type_ == "stream"):
            raise Implausible(f"is a {type_} in a {kind}")


def content_hash(entry: Entry) -> int:
    """Return a hash, valid in this process, of everything that the names of one file share."""
    return hash(
        (
            (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.size, entry.device),
            (entry.target or None, entry.target64),
            frozenset(entry.xattrs.items()),
            frozenset(entry.xattrs64.items()),
            None if entry.extents is None else tuple(entry.extents),
            tuple(entry.chunks),
            tuple(entry.lists),
        )
    )
