"""Request of a restore, from the command line or the picker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.lineage import PATH_ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


class Request(Struct, frozen=True):
    """Options of one restore; "" or None for those that were left out."""

    service: str = ""
    backup: str | None = None
    """The name of an archive; a prefix of an id or of a time; or `latest`, the default."""
    source: str | None = None
    """The destination to read from; None is the nearest one that has the backup."""
    paths: tuple[str, ...] | None = None
    """Selection: each path with everything below it; empty for the whole backup."""
    target: str | None = None
    """The folder to restore to; None restores in place."""
    in_place: bool = False
    """The target was not left out."""
    password_file: str | None = None
    """File with the password of a backup under another key."""
    accept_older: bool = False
    """Restore `latest` also if a destination had a newer one."""


def inside(path: str, folder: str) -> str | None:
    """Return a path relative to a folder, "" for the folder itself, None if it is outside.

    A relative path is taken as relative to the folder.
    """
    relative = os.path.normpath(os.path.relpath(path, folder) if os.path.isabs(path) else path)
    if relative.split("/")[0] == "..":
        return None
    return "" if relative == "." else relative


def in_roots(path: str, labels: Mapping[str, str]) -> str | None:
    """Return a path as a backup names it, "" for everything, None if it is in no root.

    `labels` maps the label of each root to its folder. An absolute path is taken as one of this
    machine, a relative one begins with a label, unless the only root has none.
    """
    if not os.path.isabs(path) and list(labels) != [PATH_ROOT]:
        return inside(path, "/")
    for label, folder in labels.items():
        if (relative := inside(path, folder)) is not None:
            return os.path.join(label, relative).rstrip("/")
    return None


def path_in_backup(path: str, labels: Mapping[str, str]) -> str:
    """Return a path in a backup: as `in_roots` does, or with a slash in front of such a path."""
    relative = in_roots(path, labels)
    return path.strip("/") if relative is None else relative
