"""Attributes of a folder that stays in place, read and set through its handle."""

from __future__ import annotations

import os
from contextlib import suppress

from stages.restore_target.attributes import set_attributes
from stages.source.attributes import read_entry, read_xattrs
from vault.archive.format import Entry, untext

OWNED_BY_FILE = ("user.", "system.posix_acl_", "trusted.")
"""Extended attributes that a folder keeps for itself; `security.` belongs to the system."""


def read_attributes(folder: int) -> Entry:
    """Return owner, mode, times and extended attributes of an open folder; raises OSError."""
    entry = read_entry("", os.fstat(folder))
    read_xattrs(entry, folder)
    return entry


def dress(folder: int, entry: Entry) -> list[str]:
    """Set an open folder's attributes to those of an entry; return what could not be set."""
    with suppress(OSError):
        kept = {*entry.xattrs, *(untext("", name) for name in entry.xattrs64)}
        for name in os.listxattr(folder):
            if name.startswith(OWNED_BY_FILE) and name not in kept:
                with suppress(OSError):
                    os.removexattr(folder, name)
    return set_attributes(entry, ".", folder, folder)
