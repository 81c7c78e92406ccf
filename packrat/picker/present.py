"""Comparison of a backup's entries with the files that are in the service's folder now."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

from stages.errors import TargetError
from stages.restore_target.handles import open_below, open_service
from vault.archive.format import REGULAR
from vault.archive.lineage import PATH_ROOT
from vault.browse import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packrat.picker.tree import Item


class Present:
    """State of the present files, which a thread looks up, so that no screen waits for a disk.

    Nothing is opened but folders, and no symlink below one of the service is followed.
    """

    def __init__(self, folders: Mapping[str, str], redraw: Callable[[], None]) -> None:
        """Look into a service's folders, by label; `redraw` is called when more is known."""
        self._folders, self._redraw = folders, redraw
        self._marks: dict[str, str] = {}
        self._asked: SimpleQueue[Item] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def mark(self, item: Item) -> str:
        """Return `changed` or `gone`; nothing if it is the same or not looked up yet."""
        mark = self._marks.get(item.path)
        if mark is None:
            mark = self._marks[item.path] = ""
            self._asked.put(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()
        return mark

    def _look(self) -> None:
        roots: dict[str, int] = {}
        for label, folder in self._folders.items():
            with suppress(OSError, TargetError):  # nothing is known of it
                roots[label] = open_service(folder)
        while True:
            item = self._asked.get()
            label, _, inside = item.path.partition("/")
            label, inside = (PATH_ROOT, item.path) if PATH_ROOT in roots else (label, inside)
            if label in roots and inside:
                self._marks[item.path] = compare(roots[label], inside, item)
            if self._asked.empty():
                self._redraw()


def compare(root: int, path: str, item: Item) -> str:
    """Return `changed` if size, time or type of the file below an open folder differ, or `gone`."""
    folder, _, name = path.rpartition("/")
    try:
        inside = open_below(root, folder)
        try:
            now = os.stat(name, dir_fd=inside, follow_symlinks=False)
        finally:
            os.close(inside)
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except (OSError, ValueError):  # a forged index may have any name
        return ""
    if stat.S_IFMT(now.st_mode) != MODES[item.type]:
        return "changed"
    if item.type == "dir":  # its time is that of the last change of a name in it
        return ""
    resized = item.type in REGULAR and now.st_size != item.size
    return "changed" if resized or now.st_mtime_ns != item.mtime else ""
