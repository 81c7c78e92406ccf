"""Comparison of backups by their indexes: what both have is skipped unread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault.archive.format import order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vault.archive.format import Block, Entry
    from vault.archive.tree import Tree

    Pair = tuple[Entry | None, Entry | None]


def changes(before: Tree, after: Tree) -> Iterator[Pair]:
    """Yield the entries in which two backups may differ, in order; None where there is none.

    Blocks and block lists that both have are not read. Raises VaultError.
    """
    layouts = []
    for tree, other in ((before, after), (after, before)):
        common = {place[0] for place in other.manifest.index}
        layouts.append(tree.layout([p for p in tree.manifest.index if p[0] not in common]))
    common = {one.chunk[0] for one in layouts[0]} & {one.chunk[0] for one in layouts[1]}
    sides = [_entries(*one, common) for one in zip((before, after), layouts, strict=True)]
    old, new = (next(side, None) for side in sides)
    while old or new:
        keys = [order(entry.name) if entry else None for entry in (old, new)]
        takes_old = keys[0] is not None and (keys[1] is None or keys[0] <= keys[1])
        takes_new = keys[1] is not None and (keys[0] is None or keys[1] <= keys[0])
        yield old if takes_old else None, new if takes_new else None
        old = next(sides[0], None) if takes_old else old
        new = next(sides[1], None) if takes_new else new


def _entries(tree: Tree, blocks: list[Block], common: set[str]) -> Iterator[Entry]:
    for _, entries in tree.entries([one for one in blocks if one.chunk[0] not in common]):
        yield from entries


def differences(before: Tree, old: Entry, after: Tree, new: Entry) -> list[str]:
    """Return in what two entries with one path differ; raises VaultError.

    The time of a folder is that of the last change in it, which is listed itself.
    """
    fields: dict[str, Callable[[Entry], object]] = {
        "type": lambda e: (e.type, e.device),
        "content": lambda e: (e.size, e.chunks, e.lists),
        "target": lambda e: (e.target or None, e.target64),
        "mode": lambda e: e.mode,
        "owner": lambda e: (e.uid, e.gid),
        "mtime": lambda e: e.mtime if e.type != "dir" else None,
        "xattrs": lambda e: (e.xattrs, e.xattrs64),
    }
    found = [name for name, value in fields.items() if value(old) != value(new)]
    # What a renewal stored again has other references to the same chunks.
    if "content" in found and old.size == new.size and before.chunks(old) == after.chunks(new):
        found.remove("content")
    return found


@dataclass(slots=True)
class Sighting:
    """History of a path that was searched for, through all backups."""

    entry: Entry
    """The entry in the last backup that has it."""
    first: str
    last: str
    versions: int
    """Number of different contents in a row."""
    content: int
    present: bool = True
    """True if the last backup that was searched has it."""


class Search:
    """Search through the backups of a service, oldest first; each index block is read once."""

    def __init__(self, matches: Callable[[str], object]) -> None:
        """Search for the paths that match."""
        self._matches = matches
        self._lists: dict[str, list[Block]] = {}
        self._blocks: dict[str, list[Entry]] = {}
        """Matching entries in each block of the last backup."""
        self._found: dict[str, Sighting] = {}
        self._last = ""

    def add(self, backup: str, tree: Tree) -> None:
        """Search the next backup; raises VaultError, and then has not searched it."""
        places = {place[0]: place for place in tree.manifest.index}
        lists = {
            name: self._lists[name] if name in self._lists else tree.layout([place])
            for name, place in places.items()
        }
        blocks = {block.chunk[0]: block for one in lists.values() for block in one}
        fresh = [block for name, block in blocks.items() if name not in self._blocks]
        found = {
            block.chunk[0]: [entry for entry in entries if self._matches(entry.name)]
            for block, entries in tree.entries(fresh)
        }
        contents = [(e, _content(tree, e)) for entries in found.values() for e in entries]
        gone = {e.name for name, es in self._blocks.items() if name not in blocks for e in es}
        for path in gone - {entry.name for entry, _ in contents}:
            self._found[path].last, self._found[path].present = self._last, False
        for entry, content in contents:
            self._see(entry, content, backup)
        self._lists, self._last = lists, backup
        self._blocks = {name: found.get(name) or self._blocks.get(name, []) for name in blocks}

    def sightings(self) -> Iterator[Sighting]:
        """Yield what is known of each path, in order."""
        for path in sorted(self._found, key=order):
            found = self._found[path]
            found.last = self._last if found.present else found.last
            yield found

    def _see(self, entry: Entry, content: int, backup: str) -> None:
        known = self._found.setdefault(entry.name, Sighting(entry, backup, backup, 1, content))
        known.versions += known.content != content
        known.entry, known.content, known.present = entry, content, True


def _content(tree: Tree, entry: Entry) -> int:
    """Return a hash, valid in this process, of what a file contains."""
    link = entry.target or entry.target64
    return hash((entry.type, entry.size, entry.device, link, tuple(tree.chunks(entry))))
