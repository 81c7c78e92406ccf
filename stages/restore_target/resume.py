"""A restore that was cut off: known by a marker in its target, it goes on where it stopped."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from stages.errors import TargetError
from stages.restore_target.folders import Folders
from stages.restore_target.layout import pieces_of
from stages.source.walk import OPEN_FOLDER
from vault.archive.chunks import chunk_id
from vault.errors import Damaged

if TYPE_CHECKING:
    from vault.archive.format import Entry

MARKER = ".packrat-restoring-"
ELSEWHERE = "restore to a new folder with --to, then compare"
OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Marker(Struct, frozen=True):
    """Says of a folder which restore it is being filled by; gone once that is through.

    Its name has the archive's id, so that no file of a backup is ever in its way.
    """

    service: str
    archive: str
    """Archive id."""
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its file in the target."""
        return MARKER + self.archive

    def write(self, root: int, target: str) -> None:
        """Mark an open folder; raises TargetError."""
        try:
            fd = os.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=root)
            with open(fd, "wb") as file:
                file.write(msgspec.json.format(self._content()) + b"\n")
        except OSError as error:
            raise TargetError(f"cannot restore to {target}: {error.strerror}", ELSEWHERE) from None

    def remove(self, root: int) -> None:
        """Take the mark away."""
        os.unlink(self.name, dir_fd=root)

    def goes_on(self, target: str) -> bool:
        """Say whether a folder is this very restore, unfinished; False for an empty or absent one.

        Raises TargetError for any other.
        """
        if not os.path.lexists(target):
            return False
        if not os.path.isdir(target):
            raise TargetError(f"{target} is not a folder", ELSEWHERE)
        try:
            names = set(os.listdir(target))
        except OSError as error:
            raise TargetError(f"cannot restore to {target}: {error.strerror}", ELSEWHERE) from None
        if not names:
            return False
        if names == {self.name} or (self.name in names and self._stands(target)):
            return True
        if any(name.startswith(MARKER) for name in names):
            raise TargetError(
                f"{target} holds an unfinished restore of another backup, or of other paths",
                "the command that began it goes on with it; this one needs a folder of its own",
            )
        raise TargetError(f"{target} is not empty", ELSEWHERE)

    def _content(self) -> bytes:
        paths = [os.fsencode(path).hex() for path in sorted(self.paths)]
        return msgspec.json.encode(
            {"service": self.service, "archive": self.archive, "paths_hex": paths}
        )

    def _stands(self, target: str) -> bool:
        with suppress(OSError, msgspec.MsgspecError), open(f"{target}/{self.name}", "rb") as file:
            found: object = msgspec.json.decode(file.read())
            return bool(found == msgspec.json.decode(self._content()))
        return False


class Standing:
    """What of a restore that was cut off stands already, and is right."""

    def __init__(self, target: str, naming_key: bytes) -> None:
        self._key = naming_key
        self._root = os.open(target, OPEN_FOLDER)
        self._folders = Folders(self._root)
        self.files = self.size = 0

    def close(self) -> None:
        """Close what is open."""
        self._folders.close()
        os.close(self._root)

    def has(self, entry: Entry) -> bool:
        """Say whether a file's data need not be fetched.

        A file gets the time of its entry as the last thing of all, once its data, owner, mode and
        attributes are there; one that was cut off has the time of its last write. Still its data
        are proven, chunk by chunk: after a power cut the disk may have kept the time and lost them.
        """
        if entry.type != "file" or not entry.chunks:
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
                    for chunk, at in pieces_of(entry, entry.chunks)
                )
            )
        except (OSError, Damaged):
            return False
        finally:
            os.close(fd)
        self.files += right
        self.size += right * entry.size
        return right


class Nothing:
    """Nothing stands: the restore begins."""

    files = size = 0

    def close(self) -> None:
        """There is nothing to close."""

    def has(self, _: Entry) -> bool:
        """Say no."""
        return False
