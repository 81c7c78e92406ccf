"""Place: a restored tree takes the place of the one that is there, by renames that can be undone.

What was restored waits in `.packrat-restore-<id>` within the service's folder, and what was there
goes to `.packrat-before-<time>`: both are on its file system, so each step is one rename, done or
not done. All steps are written down before the first is taken, in the journal and beside what was
set aside; whoever reads them can tell from the disk which are done, and take those back.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from stages.errors import TargetError
from stages.source.attributes import read_entry, read_xattrs, set_attributes
from stages.source.exclude import ASIDE, STAGING, Excludes
from stages.source.walk import syncfs
from vault.format import Entry  # noqa: TC001 (msgspec reads the annotations)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS_FILE = ".packrat-steps"


class Step(msgspec.Struct, omit_defaults=True):
    """One rename; or a folder that stays and takes the attributes of the restored one."""

    path: str
    kind: str
    """`aside`, `place` or `attributes`."""
    old: Entry | None = None
    new: Entry | None = None


class Placement(msgspec.Struct):
    """What is to be moved, in order; plain data."""

    path: str
    """The service's folder."""
    staging: str
    aside: str
    steps: list[Step]
    left: list[str]
    """Paths that were restored and are not placed: what is excluded stands there, or is kept."""

    def carry_out(self, check: Callable[[], None]) -> None:
        """Take every step; one that fails takes all back. Raises TargetError."""
        try:
            for step in self.steps:
                check()
                self._take(step)
            sync(self.path)
        except BaseException as error:
            self.restore_old(keep_staged=True)
            if isinstance(error, OSError):
                raise TargetError(
                    f"cannot restore in place at {error.filename!r}: {error.strerror}",
                    "everything was put back as it was; a mount point inside cannot be moved:"
                    " restore to a folder with --to, then copy",
                ) from error
            raise

    def take_back(self) -> None:
        """Take back every step that is done, the last one first; may be interrupted and repeated.

        Raises OSError.
        """
        for step in reversed(self.steps):
            here = os.path.join(self.path, step.path)
            if step.kind == "place":
                staged = os.path.join(self.staging, step.path)
                if os.path.lexists(here) and not os.path.lexists(staged):
                    os.makedirs(os.path.dirname(staged), mode=0o700, exist_ok=True)
                    os.rename(here, staged)
            elif step.kind == "aside":
                aside = os.path.join(self.aside, step.path)
                if os.path.lexists(aside):
                    os.rename(aside, here)
        self._dress_as_before()
        sync(self.path)

    def restore_old(self, *, keep_staged: bool) -> None:
        """Take all steps back, and leave nothing set aside; raises TargetError.

        What is staged may stay: a restore that is tried again goes on with it.
        """
        try:
            self.take_back()
        except OSError as error:
            raise TargetError(
                f"{error.filename!r} cannot be moved back: {error.strerror}",
                f"what was there before is in {self.aside}",
            ) from error
        for folder in [self.aside] + [self.staging] * (not keep_staged):
            shutil.rmtree(folder, ignore_errors=True)
        self._dress_as_before()

    def clear(self) -> None:
        """Delete what was staged and not placed, which changes the time of the folder it is in."""
        shutil.rmtree(self.staging, ignore_errors=True)
        for step in self.steps:
            if step.new and not step.path:
                _dress(self.path, step.new)

    def _dress_as_before(self) -> None:
        for step in self.steps:
            if step.old:
                _dress(os.path.join(self.path, step.path), step.old)

    def _take(self, step: Step) -> None:
        here = os.path.join(self.path, step.path)
        if step.new:
            _dress(here, step.new)
        elif step.kind == "aside":
            aside = os.path.join(self.aside, step.path)
            os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
            os.rename(here, aside)
        else:
            os.rename(os.path.join(self.staging, step.path), here)


def plan(
    path: str,
    staging: str,
    aside: str,
    exclude: tuple[str, ...],
    paths: tuple[str, ...],
    mtime: int,
) -> Placement:
    """Say which steps put what was staged in its place, and write them down beside `aside`.

    What is excluded is not touched: a folder that contains such is merged entry by entry. With
    `paths` only these are replaced. `mtime` is that of `path` before anything was staged in it,
    in nanoseconds. Raises TargetError.
    """
    planner = _Planner(path, staging, Excludes(exclude), mtime)
    try:
        steps = list(planner.steps_of(paths) if paths else planner.merge(""))
        placement = Placement(path, staging, aside, steps, planner.left)
        os.mkdir(aside, 0o700)
        with open(os.path.join(aside, STEPS_FILE), "xb") as file:
            file.write(msgspec.json.encode(placement))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TargetError(
            f"cannot restore in place below {path}: {error.strerror}",
            "nothing was changed; restore to a folder with --to",
        ) from error
    return placement


class _Planner:
    """Compares what is there with what was staged."""

    def __init__(self, path: str, staging: str, excludes: Excludes, mtime: int) -> None:
        self._path, self._staging, self._excludes = path, staging, excludes
        self._mtime = mtime
        self.left: list[str] = []
        self._holding: set[str] = set()
        """Folders in which something excluded stands, and stays."""
        self._find_excluded("")

    def steps_of(self, paths: tuple[str, ...]) -> Iterator[Step]:
        """Replace these paths alone; a folder above them that is not there comes with them."""
        begun: set[str] = set()
        touched: set[str] = set()
        for path in sorted(set(paths)):
            if any(path == other or path.startswith(other + "/") for other in begun):
                continue
            names = path.split("/")
            above = ("/".join(names[:depth]) for depth in range(1, len(names)))
            top = next((part for part in above if not self._here(part)), path)
            begun.add(top)
            touched.add(os.path.dirname(top))
            yield from self._replace(top)
        for folder in sorted(touched):
            yield self._keeping(folder)

    def merge(self, folder: str) -> Iterator[Step]:
        """Make a folder hold what the staged one holds, and what is excluded."""
        prefix = f"{folder}/" if folder else ""
        for name in sorted(self._names(self._path, folder) | self._names(self._staging, folder)):
            yield from self._replace(prefix + name)
        step = self._keeping(folder)
        staged = os.path.join(self._staging, folder)
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
        here, staged = self._here(path), os.path.join(self._staging, path)
        comes = os.path.lexists(staged)
        if here and self._excluded(path):
            self.left += [path] * comes
            return
        if path in self._holding:
            if comes and not os.path.isdir(staged):
                self.left.append(path)  # no file takes the place of a folder that keeps something
                return
            yield from self.merge(path)
            return
        if here:
            yield Step(path, "aside")
        if comes:
            yield Step(path, "place")

    def _find_excluded(self, folder: str) -> bool:
        found = False
        prefix = f"{folder}/" if folder else ""
        with os.scandir(os.path.join(self._path, folder)) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not folder and entry.name.startswith((ASIDE, STAGING)):
                        continue
                    kept = self._excludes.excludes(path + "/") or self._find_excluded(path)
                else:
                    kept = self._excludes.excludes(path)
                found |= kept
        if found:
            self._holding.add(folder)
        return found

    def _excluded(self, path: str) -> bool:
        full = os.path.join(self._path, path)
        folder = os.path.isdir(full) and not os.path.islink(full)
        return self._excludes.excludes(path + "/" * folder)

    def _here(self, path: str) -> bool:
        return os.path.lexists(os.path.join(self._path, path))

    @staticmethod
    def _names(root: str, folder: str) -> set[str]:
        where = os.path.join(root, folder)
        if not os.path.isdir(where) or os.path.islink(where):
            return set()
        own = (ASIDE, STAGING) if not folder else ()
        return {name for name in os.listdir(where) if not (own and name.startswith(own))}


def asides(path: str) -> list[str]:
    """Give the folders in which earlier restores set aside what was there, oldest first."""
    with suppress(OSError):
        return sorted(
            os.path.join(path, name) for name in os.listdir(path) if name.startswith(ASIDE)
        )
    return []


def read_steps(aside: str) -> Placement:
    """Read what a restore has done, to undo it; raises TargetError."""
    try:
        with open(os.path.join(aside, STEPS_FILE), "rb") as file:
            return msgspec.json.decode(file.read(), type=Placement)
    except (OSError, msgspec.MsgspecError) as error:
        raise TargetError(
            f"{aside} cannot be put back by itself: {error}",
            "what was there before is in it: move it by hand",
        ) from None


def forget(path: str) -> int:
    """Delete what earlier restores set aside or left staged; gives how many folders that were."""
    folders = asides(path)
    with suppress(OSError):
        folders += [os.path.join(path, n) for n in os.listdir(path) if n.startswith(STAGING)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _attributes(folder: str) -> Entry:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        entry = read_entry("", os.fstat(fd))
        read_xattrs(entry, fd)
    finally:
        os.close(fd)
    return entry


def _dress(folder: str, entry: Entry) -> None:
    """Give a folder the attributes of another."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        assert stat.S_ISDIR(os.fstat(fd).st_mode)
        set_attributes(entry, ".", fd, fd, lambda _: None)
    finally:
        os.close(fd)


def sync(path: str) -> None:
    """Bring a folder's file system to its disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)


def to_plain(placement: Placement) -> dict[str, Any]:
    """Give a placement as plain data, for the journal."""
    plain: dict[str, Any] = msgspec.to_builtins(placement)
    return plain


def from_plain(found: dict[str, Any]) -> Placement:
    """Undo `to_plain`."""
    return msgspec.convert(found, Placement)
