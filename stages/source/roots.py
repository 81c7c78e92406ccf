"""Roots of a service: the folders that one archive holds, each under a label."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from stages.source.walk import Found
from vault.archive.format import order
from vault.archive.lineage import PATH_ROOT, Root
from vault.archive.ranges import LABEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


class ReadRoot(Root, frozen=True):
    """Root of an archive, and where it is on this machine."""

    folder: str = ""
    """Its folder; empty if another stage adds its content to what `collect` gives."""

    @property
    def stored(self) -> Root:
        """The root as the manifest has it."""
        return Root(self.label, self.kind, self.source)

    def path(self, inner: str) -> str:
        """Return the path in the archive of a path below this root."""
        return f"{self.label}/{inner}" if self.label and inner else self.label or inner


class Roots(Struct, frozen=True):
    """What a run reads, or exchanges in place; a fact."""

    roots: tuple[ReadRoot, ...] = ()
    """In the order of the archive."""
    exclude: tuple[str, ...] = ()
    """Patterns; each applies in every root, from its top."""
    never: tuple[str, ...] = ()
    """Folders that belong to packrat: destinations, spool, state."""
    one_file_system: bool = False
    """Leave out filesystems that are mounted inside a root."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of the roots."""
        return tuple(root.folder for root in self.roots if root.folder)

    @property
    def places(self) -> dict[str, str]:
        """Label -> folder."""
        return {root.label: root.folder for root in self.roots if root.folder}

    @property
    def labelled(self) -> bool:
        """True if the paths in the archive begin with labels."""
        return not (len(self.roots) == 1 and self.roots[0].label == PATH_ROOT)


def in_order(roots: Iterable[ReadRoot]) -> tuple[ReadRoot, ...]:
    """Return roots in the order of the archive."""
    return tuple(sorted(roots, key=lambda root: order(root.label)))


def under_label(root: ReadRoot, found: Iterator[Found]) -> Iterator[Found]:
    """Yield what a walk of a root finds, by the paths that it has in the archive."""
    if not root.label:
        return found
    return (Found(root.path(f.path), f.name, f.folder, f.stat, f.fd) for f in found)


def labels_of(paths: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Return a label for each folder: its last name, and those above where it is not unique.

    `/srv/a/data` and `/srv/b/data` become `a-data` and `b-data`. A folder that has no such label,
    or one of `taken`, gets a number that depends on its path only.
    """
    parts = [[name for name in path.split("/") if name not in ("", ".", "..")] for path in paths]
    named = ["" for _ in paths]
    growing = set(range(len(paths)))
    depth = 0
    while growing:
        depth += 1
        for at in growing:
            named[at] = "-".join(parts[at][-depth:]) or "root"
        twice = {name for name, count in Counter([*named, *set(taken)]).items() if count > 1}
        growing = {at for at, name in enumerate(named) if name in twice and depth < len(parts[at])}
    return [
        f"{name[:40]}-{zlib.crc32(os.fsencode(path)):08x}"
        if name in twice or len(os.fsencode(name)) > LABEL_BYTES
        else name
        for name, path in zip(named, paths, strict=True)
    ]
