"""Interrupted restore: recognized by a marker in its target, and continued."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from stages.errors import TargetError
from stages.restore_target.folders import Folders
from vault.archive.check_entry import pieces_of
from vault.archive.chunks import chunk_id
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vault.archive.format import Entry, Reference

MARKER = ".packrat-restoring-"
ELSEWHERE = "restore to a new folder with --to, then compare"
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Marker(Struct, frozen=True):
    """Marker of the restore that fills a folder; removed when that is complete.

    Its name contains the archive's id, so that no file of a backup can conflict with it.
    """

    service: str
    archive: str
    """Archive id."""
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its file in the target."""
        return MARKER + self.archive

    def write(self, root: int, target: str) -> None:
        """Write the marker to an open folder that no other user can enter; raises TargetError."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(self.name, dir_fd=root)
            fd = os.open(self.name, NEW_FILE, 0o600, dir_fd=root)
            with open(fd, "wb") as file:
                file.write(msgspec.json.format(self._content()) + b"\n")
        except OSError as error:
            raise TargetError(f"cannot restore to {target}: {error.strerror}", ELSEWHERE) from None

    def remove(self, root: int) -> None:
        """Delete the marker; raises OSError."""
        os.unlink(self.name, dir_fd=root)

    def goes_on(self, root: int, target: str) -> bool:
        """Return whether an open folder holds this very restore, interrupted; False if it is empty.

        Raises TargetError for any other content.
        """
        try:
            names = set(os.listdir(root))
        except OSError as error:
            raise TargetError(f"cannot restore to {target}: {error.strerror}", ELSEWHERE) from None
        if not names:
            return False
        if self.name in names:
            found = self._read(root)
            if found == self._content() or (names == {self.name} and found is not None):
                return True
        if any(name.startswith(MARKER) for name in names):
            raise TargetError(
                f"{target} holds an unfinished restore of another backup, or of other paths",
                "the command that began it continues it; use another folder for this one",
            )
        raise TargetError(f"{target} is not empty", ELSEWHERE)

    def _content(self) -> bytes:
        paths = [os.fsencode(path).hex() for path in sorted(self.paths)]
        return msgspec.json.encode(
            {"service": self.service, "archive": self.archive, "paths_hex": paths}
        )

    def _read(self, root: int) -> bytes | None:
        """Return the content of a marker that the caller wrote, None if another user created it."""
        limit = 4 * len(self._content()) + 1024  # it is written with line breaks and indents
        try:
            fd = os.open(self.name, OLD_FILE, dir_fd=root)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                return None
            return msgspec.json.encode(msgspec.json.decode(os.read(fd, limit)))
        except (OSError, RecursionError):
            return None
        except msgspec.MsgspecError:
            return b""  # truncated because the write was interrupted
        finally:
            os.close(fd)


class Standing:
    """Files of an interrupted restore that are already complete."""

    def __init__(self, roots: Mapping[str, int], naming_key: bytes) -> None:
        """Look below the open folders of a target, which stay their opener's to close.

        Without any, as when a restore begins, nothing is complete.
        """
        self._begun = bool(roots)
        self._key = naming_key
        self._folders = Folders(roots)
        self.files = self.size = 0

    def close(self) -> None:
        """Close the folders that were opened."""
        self._folders.close()

    def has(self, entry: Entry, chunks: Iterable[Reference]) -> bool:
        """Return whether a file is complete, so that the data of its chunks need not be fetched.

        A file gets the time of its entry last, once its data, owner, mode and attributes are there.
        Its data is still proven, chunk by chunk: after a power cut the disk may have kept the time
        and lost the data.
        """
        if not self._begun or entry.type != "file" or not (entry.chunks or entry.lists):
            return False
        try:
            folder, name = self._folders.parent(entry.name)
            fd = os.open(name, OLD_FILE, dir_fd=folder)
        except OSError:
            return False
        try:
            found = os.fstat(fd)
            right = (
                stat.S_ISREG(found.st_mode)
                and found.st_size == entry.size
                and found.st_mtime_ns == entry.mtime
                and all(
                    chunk_id(self._key, os.pread(fd, chunk[4], at)) == chunk[0]
                    for chunk, at in pieces_of(entry, chunks)
                )
            )
        except (OSError, Damaged):
            return False
        finally:
            os.close(fd)
        self.files += right
        self.size += right * entry.size
        return right
