"""Walk of a root without packrat's own folders and what the patterns of the service exclude."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from stages.in_place.folder import own_folders
from stages.source.exclude import Excludes
from stages.source.roots import under_label
from stages.source.walk import Walk, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stages.source.folder_cache import FolderCache
    from stages.source.roots import ReadRoot, Roots
    from stages.source.walk import Found


def walk_root(
    state_dir: str,
    roots: Roots,
    root: ReadRoot,
    top: int,
    unreadable: Callable[[str, OSError], None] = lambda *_: None,
    folder_cache: FolderCache | None = None,
) -> Iterator[Found]:
    """Yield what a backup has of one of the `roots`, whose folder is open as `top`.

    Paths are those in the archive, also for `unreadable`. See `walk`.
    """
    found = Walk(
        top,
        Excludes(roots.patterns(root.folder)),
        own_folders(state_dir, top, roots.never),
        lambda path, error: unreadable(root.path(path), error),
        folder_cache,
        one_file_system=roots.one_file_system,
    )
    return under_label(root, found)


def count_source(state_dir: str, roots: Roots) -> tuple[int, int]:
    """Return (files, bytes) that `collect` would read; raises SourceError."""
    files = size = 0
    for root in roots.roots:
        if not root.folder:
            continue
        top = open_source(root.folder)
        try:
            for found in walk_root(state_dir, roots, root, top):
                files += not stat.S_ISDIR(found.stat.st_mode)
                size += found.stat.st_size * stat.S_ISREG(found.stat.st_mode)
        finally:
            os.close(top)
    return files, size
