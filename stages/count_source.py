"""Number and size of the files that a backup would read, for plans and progress bars."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from stages.in_place.folder import own_folders
from stages.source.exclude import Excludes
from stages.source.walk import folders, open_source, walk

if TYPE_CHECKING:
    from stages.source.roots import Roots


def count_source(state_dir: str, roots: Roots) -> tuple[int, int]:
    """Return (files, bytes) that `collect` would read; raises SourceError."""
    files = size = 0
    for path in roots.folders:
        root = open_source(path)
        try:
            own = folders(roots.never) | own_folders(state_dir, root)
            excludes, one = Excludes(roots.patterns(path)), roots.one_file_system
            for found in walk(root, excludes, own, lambda *_: None, one_file_system=one):
                files += not stat.S_ISDIR(found.stat.st_mode)
                size += found.stat.st_size * stat.S_ISREG(found.stat.st_mode)
        finally:
            os.close(root)
    return files, size
