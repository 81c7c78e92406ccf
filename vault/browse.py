"""Backups as a read-only filesystem of fsspec: `packrat://service/backup/path`."""

from __future__ import annotations

import errno
import os
import stat
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from vault.archive.format import REGULAR, Entry, untext
from vault.archive.lookup import BlockCache
from vault.archive.segments import SegmentCache
from vault.archive.shared_cache import SharedCache
from vault.archive.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vault.archive.contents import Contents
    from vault.archive.tree import Backup

    Info = dict[str, Any]

OPEN_MOST = 16
"""Backups that are kept open; the layout of an index takes about 1 MB for 50,000 files."""
BUFFER_BYTES = 1 << 20
MODES = {
    **dict.fromkeys(REGULAR, stat.S_IFREG),
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
KINDS = dict.fromkeys(REGULAR, "file") | {"dir": "directory", "symlink": "link"}
"""Types of entries, in the words of fsspec; the rest is `other`."""


class Library(Protocol):
    """Services and their backups."""

    def services(self) -> Iterable[str]:
        """Return the names of the services."""

    def backups(self, service: str) -> Iterable[str]:
        """Return the names of a service's backups, the oldest first; raises VaultError."""

    def open(self, service: str, backup: str) -> Backup:
        """Open a backup; raises VaultError, and FileNotFoundError if there is none."""


class BackupFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """File of a backup, open for reading."""

    def __init__(self, files: PackratFileSystem, path: str, contents: Contents) -> None:
        super().__init__(files, path, block_size=BUFFER_BYTES, size=contents.size)
        self.read_at = contents.read

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.read_at(start, end - start)


class PackratFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read-only filesystem of all backups: a folder a service, in it a folder a backup.

    A missing path raises FileNotFoundError, everything else that fails VaultError. Symlinks are not
    followed. Several threads may use it.
    """

    protocol: ClassVar[str] = "packrat"
    root_marker: ClassVar[str] = ""
    cachable: ClassVar[bool] = False

    def __init__(self, library: Library) -> None:
        super().__init__(use_listings_cache=False)
        self._library = library
        self._segments, self._blocks = SegmentCache(), BlockCache()
        self._trees = SharedCache[tuple[str, str], Tree](OPEN_MOST, lambda _: 1)

    def tree(self, service: str, backup: str) -> Tree:
        """Return the files of a backup, which is opened if necessary; raises VaultError."""

        def opened() -> Tree:
            return Tree(self._library.open(service, backup), self._segments, self._blocks)

        return self._trees.get((service, backup), opened)

    def entry(self, path: str) -> Entry:
        """Return the entry at a path; services are folders."""
        service, backup, inside = self._split(path)
        if not backup:
            found = service in ("", *self._library.services())
            return Entry(type="dir", mode=0o755) if found else _absent(path)
        tree = self.tree(service, backup)
        entry = tree.lookup.entry(inside)
        if entry is None and not inside:  # a source may be without an entry of its own
            return Entry(type="dir", mode=0o700)
        return _absent(path) if entry is None else entry

    def info(self, path: str, **_: Any) -> Info:
        """Return what is known of a path; sizes in bytes, `mtime_ns` in nanoseconds since 1970."""
        path = self._strip_protocol(path)
        return describe(path, self.entry(path))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002
        """List a folder, or a single file."""
        path = self._strip_protocol(path)
        service, backup, inside = self._split(path)
        entry = self.entry(path)
        below = path and path + "/"
        if entry.type != "dir":
            found = {path: entry}
        elif backup:
            entries = self.tree(service, backup).lookup.children(inside)
            found = {below + e.name[len(inside) + bool(inside) :]: e for e in entries}
        else:
            names = self._library.backups(service) if service else self._library.services()
            found = {below + name: Entry(type="dir", mode=0o755) for name in names}
        return [describe(*one) for one in found.items()] if detail else [*found]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BackupFile:
        if mode != "rb":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        entry = self.entry(path)
        if entry.type not in REGULAR:
            code = errno.EISDIR if entry.type == "dir" else errno.EINVAL
            raise OSError(code, os.strerror(code), path)
        service, backup, _inside = self._split(path)
        return BackupFile(self, path, self.tree(service, backup).contents(entry))

    def _split(self, path: str) -> tuple[str, str, str]:
        service, _, rest = self._strip_protocol(path).partition("/")
        backup, _, inside = rest.partition("/")
        return service, backup, inside


def _absent(path: str) -> Entry:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def describe(path: str, entry: Entry) -> Info:
    """Return what fsspec says of a path, as its local filesystem does.

    Two files of one inode number are the same file for diff and cp, so each backup has its own
    numbers; other names of one file have the same.
    """
    backup = "/".join(path.split("/")[:2])
    identity = f"{backup}\0{entry.link}" if entry.link else path
    number = blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    info = {
        "name": path,
        "size": entry.size,
        "type": KINDS.get(entry.type, "other"),
        "mode": MODES[entry.type] | entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": entry.mtime / 1e9,
        "mtime_ns": entry.mtime,
        "ino": int.from_bytes(number) | 1,
        "nlink": 2 if entry.link or entry.type == "dir" else 1,
        "islink": entry.type == "symlink",
    }
    if entry.type == "symlink":
        info["destination"] = untext(entry.target or "", entry.target64)
    return info
