"""Both sides of the steps of an in-place restore, opened by handles and checked by identity."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from stages.in_place.exchange import changed
from stages.in_place.folder import TREE, make_folder
from stages.in_place.identity import is_same
from stages.restore_target.handles import OPEN_FOLDER, open_below

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stages.in_place.exchange import Place
    from stages.in_place.record import Record, Stay

ASIDE = "aside"
"""Folder beside the restored tree, for the content of folders that the tree does not have."""


class Sides:
    """The service's folder on one side, the working folder on the other.

    The last folders stay open, because steps are sorted by folder.
    """

    def __init__(self, record: Record, root: int, work: int) -> None:
        self._root, self._work = root, work
        self._stays = {stay.path: stay for stay in record.stays}
        self._exchanges = record.exchanges
        self._open: dict[bool, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in [opened[1] for opened in self._open.values()]:
            os.close(fd)
        self._open.clear()

    def here(self, path: str) -> Place:
        """Return the open parent and name of a path in the service's folder.

        Raises OSError and TargetError.
        """
        folder, _, name = path.rpartition("/")
        return self.folder(folder), name

    def slot(self, path: str) -> Place:
        """Return the open parent and name of a path in the working folder; raises OSError."""
        folder, _, name = path.rpartition("/")
        if self._open.get(True, ("/", -1))[0] != folder:
            area = TREE if self._stays[folder].staged else ASIDE
            self._remember(True, folder, open_below(self._work, f"{area}/{folder}"))
        return self._open[True][1], name

    def spare(self, index: int) -> Place:
        """Return the name that a step uses between two renames; "" where it needs none."""
        return self._work, "" if self._exchanges else f"spare-{index}"

    def stray(self, index: int) -> Place:
        """Return the name for a file that turned up during a step, which is kept."""
        return self._work, f"extra-{index}"

    def folder(self, folder: str) -> int:
        """Open a folder of the service that stays; raises OSError and TargetError."""
        if self._open.get(False, ("/", -1))[0] != folder:
            fd = open_below(self._root, folder)
            self._remember(False, folder, fd)
            if not is_same(fd, ".", self._stays[folder].identity):
                self.__exit__()
                raise changed(folder or ".")
        return self._open[False][1]

    def _remember(self, side: bool, folder: str, fd: int) -> None:  # noqa: FBT001
        if side in self._open:
            os.close(self._open[side][1])
        self._open[side] = folder, fd


def make_aside(work: int, stays: Iterable[Stay]) -> None:
    """Create folders in the working folder for content that the restored tree has no folder for."""
    for path in sorted(stay.path for stay in stays if not stay.staged):
        folder = work
        with ExitStack() as opened:
            for name in (ASIDE, *path.split("/")):
                with suppress(FileExistsError):
                    os.close(make_folder(folder, name))
                folder = os.open(name, OPEN_FOLDER, dir_fd=folder)
                opened.callback(os.close, folder)
