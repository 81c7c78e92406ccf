"""Place: a restored tree takes the place of the one that is there, by renames that can be undone.

What was restored waits in `.packrat-restore-<id>` within the service's folder, and what was there
goes to `.packrat-before-<time>`: both are on its file system, so each step is one rename, done or
not done. All steps are written down before the first is taken, in the journal and beside what was
set aside; whoever reads them can tell from the disk which are done, and take those back.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from stages.errors import TargetError
from stages.restore_target.attributes import set_attributes
from stages.source.walk import syncfs
from vault.archive.format import Entry  # noqa: TC001 (msgspec reads the annotations)

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS_FILE = ".packrat-steps"
"""Beside what was set aside, as long as a step may have to be taken back."""
PLACED_FILE = ".packrat-placed"
"""Beside it, once every step was taken: on the same disk, so that no other's fault denies it."""
TREE = "tree"
"""Where in the staging folder the restored tree is; beside it there is room for what is ours."""


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

    @property
    def placed(self) -> bool:
        """Every step was taken, whatever became of the process that took them."""
        return os.path.lexists(os.path.join(self.aside, PLACED_FILE))

    def carry_out(self, check: Callable[[], None]) -> None:
        """Take every step; one that fails takes all back. Raises TargetError."""
        try:
            for step in self.steps:
                check()
                self._take(step)
            sync(self.path)
            os.close(os.open(os.path.join(self.aside, PLACED_FILE), os.O_CREAT | os.O_WRONLY))
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
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.aside, PLACED_FILE))
        for step in reversed(self.steps):
            here = os.path.join(self.path, step.path)
            if step.kind == "place":
                staged = self._staged(step)
                if os.path.lexists(here) and not os.path.lexists(staged):
                    os.makedirs(os.path.dirname(staged), mode=0o700, exist_ok=True)
                    os.rename(here, staged)
            elif step.kind == "aside":
                aside = os.path.join(self.aside, step.path)
                if os.path.lexists(aside):
                    _require_free(here)
                    os.rename(aside, here)
        self._dress_as_before()
        sync(self.path)

    def restore_old(self, *, keep_staged: bool) -> None:
        """Take all steps back, and leave nothing set aside; raises TargetError.

        What is staged may stay: a restore that is tried again goes on with it.
        """
        steps = os.path.join(self.aside, STEPS_FILE)
        try:
            # Without that file all was taken back, and a step that is not staged any more was
            # deleted since: what stands in its place is what was there before.
            if os.path.lexists(steps):
                self.take_back()
                os.unlink(steps)
                sync(self.path)
        except OSError as error:
            raise TargetError(
                f"{error.filename!r} cannot be moved back: {error.strerror}",
                f"what was there before is in {self.aside}; move what stands in its way"
                " elsewhere, then packrat repair",
            ) from error
        for folder, _, _ in os.walk(self.aside, topdown=False):
            with suppress(OSError):  # all that was in it has moved: what has not is not ours
                os.rmdir(folder)
        if not keep_staged:
            shutil.rmtree(self.staging, ignore_errors=True)
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
            os.rename(self._staged(step), here)

    def _staged(self, step: Step) -> str:
        return os.path.join(self.staging, TREE, step.path)


def _require_free(path: str) -> None:
    """Refuse to move something over what was made there since, which a rename would replace."""
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
        raise FileExistsError(errno.EEXIST, "something new stands there", path)


def _dress(folder: str, entry: Entry) -> None:
    """Give a folder the attributes of another."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        assert stat.S_ISDIR(os.fstat(fd).st_mode)
        set_attributes(entry, ".", fd, fd)
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
