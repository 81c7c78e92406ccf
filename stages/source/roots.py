"""Roots of a service: the folders that one archive holds, each under a label."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from stages.errors import SourceError
from stages.source.mounts import mount_of
from stages.source.walk import Found, open_source
from vault.archive.format import order
from vault.archive.lineage import PATH_ROOT, Root
from vault.archive.ranges import LABEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


DUMP: Literal["dump"] = "dump"
"""Kind of the root of a database."""


class ReadRoot(Root, frozen=True):
    """Root of an archive, and where it is on this machine."""

    folder: str = ""
    """Its folder; empty if another stage adds its content to what `collect` gives."""
    on_demand: bool = False
    """Docker mounts it only while a container uses it."""
    exclude: tuple[str, ...] = ()
    """Patterns for what another stage stores, in this root only."""

    @property
    def stored(self) -> Root:
        """The root as the manifest has it."""
        return Root(self.label, self.kind, self.source)

    def path(self, inner: str) -> str:
        """Return the path in the archive of a path below this root."""
        return f"{self.label}/{inner}" if self.label and inner else self.label or inner


class Roots(Struct, frozen=True):
    """Roots that a run reads or replaces in place; a fact."""

    roots: tuple[ReadRoot, ...] = ()
    """In the order of the archive."""
    exclude: tuple[str, ...] = ()
    """Patterns; each applies in every root, from its top."""
    never: tuple[str, ...] = ()
    """Folders that belong to packrat: destinations, spool, state."""
    one_file_system: bool = False
    """Leave out filesystems that are mounted inside a root."""

    unread: tuple[str, ...] = ()
    """Sentences about what the containers write to and is in no root."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of the roots."""
        return tuple(root.folder for root in self.roots if root.folder)

    def patterns(self, folder: str) -> tuple[str, ...]:
        """Return what is left out in the root with this folder."""
        root = next((one for one in self.roots if one.folder == folder), None)
        if root is None:
            return self.exclude
        return () if root.kind == DUMP else (*self.exclude, *root.exclude)

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


def under_label(root: ReadRoot, found: Iterable[Found]) -> Iterator[Found]:
    """Yield what a walk of a root finds, by the paths that it has in the archive."""
    if not root.label:
        return iter(found)
    return (Found(root.path(f.path), f.name, f.folder, f.stat, f.fd) for f in found)


def labels_of(paths: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Return a label for each folder: its last name, and those above where it is not unique.

    `/srv/a/data` and `/srv/b/data` become `a-data` and `b-data`. No label is one of `taken`.
    """
    parts = [[name for name in path.split("/") if name not in ("", ".", "..")] for path in paths]
    named = ["" for _ in paths]
    growing = set(range(len(paths)))
    depth = 0
    while growing:
        depth += 1
        for at in growing:
            named[at] = "-".join(parts[at][-depth:]) or "root"
        twice = _repeated([*named, *set(taken)])
        growing = {at for at, name in enumerate(named) if name in twice and depth < len(parts[at])}
    return distinct(named, paths, taken)


def distinct(
    labels: Sequence[str], sources: Sequence[str], taken: Collection[str] = ()
) -> list[str]:
    """Return valid labels: one that is repeated, taken or too long gets a number.

    The number depends on nothing but the source, so that it stays the same.
    """
    repeated = _repeated([*labels, *set(taken)])
    return [
        f"{label[:40]}-{zlib.crc32(os.fsencode(source)):08x}"
        if label in repeated or len(os.fsencode(label)) > LABEL_BYTES or label in ("", ".", "..")
        else label
        for label, source in zip(labels, sources, strict=True)
    ]


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


class HeldRoots:
    """Open folders of volumes that are mounted only while a container uses them; a resource.

    What is open can be read after the container has stopped and Docker has unmounted the volume.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def hold(self, roots: Roots) -> None:
        """Open the folders of such volumes; raises SourceError if one is not mounted any more."""
        for root in roots.roots:
            if root.on_demand and root.label not in self._held:
                fd = open_source(root.folder)
                self._held[root.label] = fd
                mount = mount_of(fd)
                if mount is None or mount.point != os.path.realpath(root.folder):
                    raise SourceError(f"volume {root.source} was unmounted meanwhile", "try again")

    def open(self, root: ReadRoot) -> int:
        """Open the folder of a root; raises SourceError."""
        held = self._held.get(root.label)
        if held is None:
            return open_source(root.folder)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)

    def place(self, root: ReadRoot) -> str | int:
        """Return the path of a root's folder, or the open folder if that is held."""
        return self._held.get(root.label, root.folder)

    def close(self) -> None:
        """Close the folders."""
        while self._held:
            os.close(self._held.popitem()[1])
