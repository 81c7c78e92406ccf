"""Versions of one file in all backups, and the screen to take one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from packrat.browse.opened import opened_ahead
from packrat.picker.cells import aligned, mtime_text, width
from packrat.picker.prompts import Line, pick
from packrat.picker.screen import Navigation
from packrat.text.report import bytes_text, count_text, time_text
from vault.archive.compare import differences
from vault.browse import PackratFileSystem
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packrat.browse.library import AllBackups
    from vault.archive.format import Entry, Summary
    from vault.archive.tree import Tree

WORDS = {"mtime": "time", "xattrs": "attributes"}


class Version(Struct, frozen=True):
    """State of a file, and the backups in a row that have it, the oldest first."""

    backups: tuple[Summary, ...]
    entry: Entry
    changed: tuple[str, ...] = ()
    """In what it differs from the version before."""
    deleted: bool = False
    """True if the next backup does not have the file."""


def versions_of(
    files: PackratFileSystem, service: str, backups: Mapping[str, Summary], path: str
) -> tuple[list[Version], list[str]]:
    """Return the versions of a file, the newest first, and what could not be read.

    `backups` are the names of their folders in `files`, the oldest first.
    """
    found: list[Version] = []
    failed: list[str] = []
    before: Tree | None = None
    for name, tree in opened_ahead(files, service, backups):
        last = found[-1] if found else None
        changed: tuple[str, ...] = ()
        try:
            now = tree()
            entry = now.lookup.entry(path)
            if entry and last and before:
                changed = tuple(differences(before, last.entry, now, entry))
        except VaultError as error:
            failed.append(f"backup {backups[name].id[:8]} cannot be read: {error}")
            continue
        if entry is None:
            found[-1:] = [replace(last, deleted=True)] if last else []
        elif last and not last.deleted and not changed:
            found[-1] = replace(last, backups=(*last.backups, backups[name]))
        else:
            found.append(Version((backups[name],), entry, changed))
        before = now if entry else before
    return found[::-1], failed


class VersionPicker:
    """Screen with the versions of a file; what was read of the backups is kept."""

    def __init__(self, library: AllBackups) -> None:
        self._library = library
        self._files = PackratFileSystem(library)

    def pick(self, service: str, path: str, picked: str) -> str | None:
        """Let the user take a version; return the name of the newest backup that has it.

        The pointer begins at the version in the archive `picked`. Raises VaultError.
        """
        found, failed = versions_of(self._files, service, self._library.backups(service), path)
        rows = aligned([_cells(one, one is found[-1]) for one in found], width() - 4, (5, 3), (2,))
        lines = [
            Line(row, one.backups[-1].name, _more(one))
            for row, one in zip(rows, found, strict=True)
        ]
        at = next((one for one in found if picked in [each.name for each in one.backups]), None)
        title = f"Restore which version of {path}? Only this file will be restored."
        answer = pick(title, [*map(Line, failed), *lines], at=at and at.backups[-1].name)
        return None if answer is Navigation.BACK else answer


def _cells(one: Version, oldest: bool) -> list[str]:  # noqa: FBT001
    last = one.backups[-1]
    fields = [field for field in one.changed if field != "mtime"] or one.changed
    words = " and ".join(WORDS.get(field, field) for field in fields)
    changed = "the oldest" if oldest else f"{words} changed" if words else "back again"
    return [
        time_text(last.made)[:16],
        last.id[:8],
        bytes_text(one.entry.size),
        mtime_text(one.entry.mtime),
        changed + ", then deleted" * one.deleted,
        f"in {count_text(len(one.backups), 'backup')}",
    ]


def _more(one: Version) -> str:
    first, last = (time_text(backup.made) for backup in (one.backups[0], one.backups[-1]))
    several = f"all backups from {first} to {last}"
    where = several if len(one.backups) > 1 else f"the backup of {last}"
    return f"file of {mtime_text(one.entry.mtime)}, in {where}"
