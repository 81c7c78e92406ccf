"""Plan a restore in place: which steps turn what is there into what was staged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stages.errors import TargetError
from stages.in_place.kept import make_aside, own_folders
from stages.in_place.swap import TREE, Placement, Step
from stages.source.attributes import read_entry, read_xattrs
from stages.source.exclude import Excludes
from stages.source.walk import folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vault.archive.format import Entry


def plan(
    path: str,
    staging: str,
    aside: str,
    paths: Sequence[str],
    mtime: int,
    *,
    exclude: Sequence[str] = (),
    never: Sequence[str] = (),
) -> Placement:
    """Say which steps put what was staged in its place, and write them down in `aside`.

    What is excluded, and the folders in `never`, are not touched: a folder that contains such is
    merged entry by entry. With `paths` only these are replaced. `mtime` is that of `path` before
    anything was staged in it, in nanoseconds. Raises TargetError.
    """
    own = folders([*never, *own_folders(path)])
    try:
        planner = _Planner(path, os.path.join(staging, TREE), Excludes(exclude), own, mtime)
        steps = list(planner.steps_of(paths) if paths else planner.merge(""))
        placement = Placement(path, staging, aside, steps, planner.left)
        make_aside(placement)
    except OSError as error:
        raise TargetError(
            f"cannot restore in place below {path}: {error.strerror}",
            "nothing was changed; restore to a folder with --to",
        ) from error
    return placement


class _Planner:
    """Compares what is there with what was staged."""

    def __init__(
        self, path: str, staged: str, excludes: Excludes, own: set[tuple[int, int]], mtime: int
    ) -> None:
        self._path, self._staged, self._excludes = path, staged, excludes
        self._own = own
        """(device, inode) of packrat's folders: the journal and the backups may be among them."""
        self._mtime = mtime
        self.left: list[str] = []
        self._holding: set[str] = set()
        """Folders in which something that is not touched stands."""
        if self._is_own(os.stat(path)):
            raise TargetError(
                f"{path} is where packrat itself writes",
                "a destination, the spool and the state need folders of their own",
            )
        self._find_untouched("")

    def steps_of(self, paths: Sequence[str]) -> Iterator[Step]:
        """Replace these paths alone; a folder above them that is not there comes with them."""
        begun: set[str] = set()
        touched: set[str] = set()
        for path in sorted(set(paths)):
            if any(path == other or path.startswith(other + "/") for other in begun):
                continue
            names = path.split("/")
            above = ["/".join(names[:depth]) for depth in range(1, len(names))]
            # Not through a symlink: what is behind it is not the service's.
            top = next((part for part in above if not _is_folder(self._path, part)), path)
            begun.add(top)
            if any(self._is_untouched(part) for part in above if _is_folder(self._path, part)):
                self.left.append(path)
                continue
            touched.add(os.path.dirname(top))
            yield from self._replace(top)
        for folder in sorted(touched):
            yield self._keeping(folder)

    def merge(self, folder: str) -> Iterator[Step]:
        """Make a folder hold what the staged one holds, and what is not touched."""
        prefix = f"{folder}/" if folder else ""
        for name in sorted(_names(self._path, folder) | _names(self._staged, folder)):
            yield from self._replace(prefix + name)
        step = self._keeping(folder)
        staged = os.path.join(self._staged, folder)
        if os.path.isdir(staged):
            step.new = _attributes(staged)
        yield step

    def _keeping(self, folder: str) -> Step:
        """Give a folder that stays its own times again, which what is moved in it would change."""
        old = _attributes(os.path.join(self._path, folder))
        if not folder:
            old.mtime = self._mtime
        return Step(folder, "attributes", old, old)

    def _replace(self, path: str) -> Iterator[Step]:
        staged = os.path.join(self._staged, path)
        here = os.path.lexists(os.path.join(self._path, path))
        comes = os.path.lexists(staged)
        if here and self._is_untouched(path):
            self.left += [path] * comes
            return
        if path in self._holding:
            if comes and (not os.path.isdir(staged) or os.path.islink(staged)):
                self.left.append(path)  # no file takes the place of a folder that keeps something
                return
            yield from self.merge(path)
            return
        if here:
            yield Step(path, "aside")
        if comes:
            yield Step(path, "place")

    def _find_untouched(self, folder: str) -> bool:
        found = False
        prefix = f"{folder}/" if folder else ""
        with os.scandir(os.path.join(self._path, folder)) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    found |= (
                        self._excludes.excludes(path + "/")
                        or self._is_own(entry.stat(follow_symlinks=False))
                        or self._find_untouched(path)
                    )
                else:
                    found |= self._excludes.excludes(path)
        if found:
            self._holding.add(folder)
        return found

    def _is_untouched(self, path: str) -> bool:
        folder = _is_folder(self._path, path)
        return self._excludes.excludes(path + "/" * folder) or (
            folder and self._is_own(os.lstat(os.path.join(self._path, path)))
        )

    def _is_own(self, found: os.stat_result) -> bool:
        return (found.st_dev, found.st_ino) in self._own


def _is_folder(root: str, path: str) -> bool:
    full = os.path.join(root, path)
    return os.path.isdir(full) and not os.path.islink(full)


def _names(root: str, folder: str) -> set[str]:
    return set(os.listdir(os.path.join(root, folder))) if _is_folder(root, folder) else set()


def _attributes(folder: str) -> Entry:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        entry = read_entry("", os.fstat(fd))
        read_xattrs(entry, fd)
    finally:
        os.close(fd)
    return entry
