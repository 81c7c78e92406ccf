"""Folder in which the archives of one service wait for their destinations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vault.catalog.catalog import Catalog, list_spool
from vault.store.local import Local

if TYPE_CHECKING:
    from vault.archive.keys import Keys


class SpoolFolder:
    """Folder with the layout of a destination, so that whole archives wait there as in a store."""

    def __init__(self, path: str) -> None:
        self.path = path
        parent, service = os.path.split(path)
        self.empty = Catalog(Local("spool", parent), service)

    def waiting(self, keys: Keys) -> Catalog:
        """Return the whole archives that wait here."""
        return list_spool(self.empty, keys)
