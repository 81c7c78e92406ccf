"""Filesystem of all backups for the kernel, through FUSE."""

from __future__ import annotations

import base64
import errno
import itertools
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import mfusepy

from packrat.text.report import warn
from vault.archive.format import Entry, untext
from vault.browse import BackupFile, PackratFileSystem, describe
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator


TIMEOUT_SECONDS = 60
"""Time for which the kernel remembers attributes: nothing in a backup changes."""


class Operations(mfusepy.Operations):  # type: ignore[misc]  # it has no types
    """Answers to the kernel; several threads call them."""

    use_ns = True

    def __init__(self, files: PackratFileSystem) -> None:
        self._files = files
        self._open: dict[int, BackupFile] = {}
        self._handles = itertools.count(1)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return the attributes of a path, as they are stored."""
        with _answering():
            entry = self._files.entry(_inside(path))
            info = describe(_inside(path), entry)
            names = ("mode", "uid", "gid", "size", "ino", "nlink")
            return {
                **{f"st_{name}": info[name] for name in names},
                "st_blocks": sum(length for _, length in entry.data) + 511 >> 9,
                "st_rdev": os.makedev(*entry.device) if entry.device else 0,
                **dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), entry.mtime),
            }

    def readdir(self, path: str, fh: int) -> Iterator[str | tuple[str, dict[str, int], int]]:  # noqa: ARG002
        """Yield the names in a folder."""
        with _answering():
            yield from (".", "..")
            for one in self._files.ls(_inside(path)):
                attributes = {"st_mode": one["mode"], "st_ino": one["ino"]}
                yield one["name"].rpartition("/")[2], attributes, 0

    def readlink(self, path: str) -> str:
        """Return the target of a symlink."""
        with _answering():
            target: str = self._files.info(_inside(path)).get("destination", "")
            return target

    def listxattr(self, path: str) -> list[str]:
        """Return the names of the extended attributes."""
        with _answering():
            return [*_xattrs(self._files.entry(_inside(path)))]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:  # noqa: ARG002
        """Return the value of an extended attribute."""
        with _answering():
            found = _xattrs(self._files.entry(_inside(path))).get(name)
            if found is None:
                raise OSError(mfusepy.ENOATTR, os.strerror(mfusepy.ENOATTR))
            return base64.b64decode(found)

    def open(self, path: str, flags: int) -> int:  # noqa: ARG002 (the mount is read-only)
        """Open a file; return its handle."""
        with _answering():
            handle = next(self._handles)
            self._open[handle] = self._files.open(_inside(path))
            return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        """Return a range of an open file."""
        with _answering():
            return self._open[fh].read_at(offset, size)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002
        """Close a file."""
        self._open.pop(fh, None)
        return 0


def serve(files: PackratFileSystem, folder: str, *, allow_other: bool) -> None:
    """Mount a filesystem on a folder, and serve it until it is unmounted; raises RuntimeError."""
    times = {"attr_timeout": TIMEOUT_SECONDS, "entry_timeout": TIMEOUT_SECONDS}
    mfusepy.FUSE(
        Operations(files),
        folder,
        foreground=True,
        ro=True,
        fsname="packrat",
        subtype="packrat",
        default_permissions=True,
        allow_other=allow_other,
        use_ino=True,
        kernel_cache=True,
        nosuid=True,
        nodev=True,
        **times,
    )


def _inside(path: str) -> str:
    return path.lstrip("/")


def _xattrs(entry: Entry) -> dict[str, str]:
    """Return the extended attributes, in base64, by name."""
    return entry.xattrs | {untext("", name): value for name, value in entry.xattrs64.items()}


@contextmanager
def _answering() -> Iterator[None]:
    """Turn errors into those of the kernel, and print what it cannot say."""
    try:
        yield
    except VaultError as error:
        warn(str(error))
        raise OSError(errno.EIO, os.strerror(errno.EIO)) from None
