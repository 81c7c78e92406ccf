"""What an entry of an index may say. An archive made with the right key may still lie."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from vault.archive.format import order, untext
from vault.errors import Damaged

if TYPE_CHECKING:
    from vault.archive.format import Entry


class Plausible:
    """Looks at each entry, in the order of the index, before anything is made of it.

    The writer stands on its own feet, by directory handles; this says what is wrong before the
    first byte is written.
    """

    def __init__(self) -> None:
        self._last: bytes | None = None
        self._above = [""]
        """The folders that the next entry may be in, each in the one before."""
        self._links: dict[tuple[int, int], str] = {}

    def check(self, entry: Entry) -> None:
        """Raise Damaged for an entry that no packrat wrote."""
        name = entry.name
        steps = f"/{name}/"
        # Not by any(): it takes longer than the answer, a million times.
        if name and ("//" in steps or "/./" in steps or "/../" in steps or "\0" in steps):
            raise _lie(name, "is no path that a backup can hold")
        key = order(name)
        if self._last is not None and key <= self._last:
            raise _lie(name, "stands twice in the index, or out of order")
        self._last = key
        folder = name.rpartition("/")[0]
        while self._above[-1] and self._above[-1] != folder:
            if folder.startswith(self._above[-1] + "/"):
                break
            self._above.pop()
        if self._above[-1] != folder:
            raise _lie(name, "is in a folder that the backup does not have")
        if entry.type == "dir":
            if name:
                self._above.append(name)
        elif not name:
            raise _lie(name, "is the service's folder, and no folder")
        if entry.type != "file" and (entry.chunks or entry.extents):
            raise _lie(name, f"is a {entry.type} with content")
        if entry.type == "symlink" or entry.target or entry.target64:
            target = untext(entry.target or "", entry.target64)
            if entry.type != "symlink" or not target or "\0" in target:
                raise _lie(name, "is a link to nowhere")
        if entry.data and not entry.chunks:
            raise _lie(name, "has no content")
        if entry.link and self._links.setdefault(entry.link, entry.type) != entry.type:
            raise _lie(name, "shares its content with what has none")
        if entry.xattrs or entry.xattrs64:
            _check_xattrs(name, entry)
        if entry.extents is not None:
            end = 0
            for offset, length in entry.extents:
                if offset < end or length <= 0 or offset + length > entry.size:
                    raise _lie(name, "has data outside of it")
                end = offset + length


def _check_xattrs(name: str, entry: Entry) -> None:
    try:
        for value in (*entry.xattrs.values(), *entry.xattrs64.values()):
            base64.b64decode(value, validate=True)
    except ValueError:
        raise _lie(name, "has an attribute that is not base64") from None


def _lie(name: str, what: str) -> Damaged:
    return Damaged(repr(name), f"{what}; nothing was written")
