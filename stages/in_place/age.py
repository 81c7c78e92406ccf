"""Age of a restored tree, to detect whether it was written to while it was in place."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from stages.restore_target.handles import OPEN_FOLDER
from stages.source.walk import allow_deep_trees

if TYPE_CHECKING:
    from stages.in_place.exchange import Place


def is_older(place: Place, time: int) -> bool:
    """Return whether nothing in a file or folder was written since a time; True if it is missing.

    `time` is in nanoseconds since 1970, by the clock of the filesystem. A move sets the ctime of
    what is moved, so only its mtime counts; below it the ctime counts, which no program can set.
    Raises OSError.
    """
    try:
        found = os.stat(place[1], dir_fd=place[0], follow_symlinks=False)
    except FileNotFoundError:
        return True
    if found.st_mtime_ns >= time:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return True
    allow_deep_trees()
    top = os.open(place[1], OPEN_FOLDER, dir_fd=place[0])
    stack = [(top, iter(os.listdir(top)))]
    try:
        while stack:
            folder, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(folder)
                stack.pop()
                continue
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if found.st_ctime_ns >= time:
                return False
            if stat.S_ISDIR(found.st_mode):
                inner = os.open(name, OPEN_FOLDER, dir_fd=folder)
                stack.append((inner, iter(os.listdir(inner))))
    finally:
        for folder, _ in stack:
            os.close(folder)
    return True
