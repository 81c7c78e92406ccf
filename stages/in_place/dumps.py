"""Folders that stand for databases in a restore in place: restored dumps are exchanged there."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from msgspec import structs

from stages.source.roots import DUMP

if TYPE_CHECKING:
    from stages.source.roots import Roots

FOLDER = "databases"


def dump_folder(state_dir: str, service: str, label: str) -> str:
    """Return the folder for the dumps of one database."""
    return os.path.join(state_dir, FOLDER, service, label)


def with_dump_folders(roots: Roots, state_dir: str, service: str) -> Roots:
    """Return roots in which those of databases have such a folder."""
    return structs.replace(
        roots,
        roots=tuple(
            structs.replace(root, folder=dump_folder(state_dir, service, root.label))
            if root.kind == DUMP
            else root
            for root in roots.roots
        ),
    )


def drop_dumps(state_dir: str, service: str) -> None:
    """Delete the folders of a service that has no restore left to undo."""
    shutil.rmtree(os.path.join(state_dir, FOLDER, service), ignore_errors=True)
