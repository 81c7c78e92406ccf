"""A place that holds archives: one narrow interface for every kind of storage.

Files stand under `<root>/<service>/`. One being written has a name that begins with a dot and ends
in `.part`; it is *published* under its final name once it is whole. Everything else is never
rewritten.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.format import ArchiveName
from vault.errors import Away, NotThere, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vault.store.transfer import Source

HINTS = {
    errno.ENOSPC: "make room there; what was stored before is untouched",
    errno.EDQUOT: "the quota there is used up; what was stored before is untouched",
    errno.EROFS: "it is mounted read-only: look at its disk, then mount it read-write",
    errno.EACCES: "packrat's user needs to write there",
    errno.EPERM: "packrat's user needs to write there",
    errno.EIO: "its disk reports errors: look at the kernel's log",
}


LATER = "9"
"""A time that is after any other."""


class Stored(Struct, frozen=True):
    """A file at a destination, with its bytes."""

    name: str
    size: int


class Destination(ABC):
    """Archives of all services, below one folder.

    Every method raises Away when the destination cannot be used, and NotThere for a file that it
    does not have; nothing that a library raises gets past.
    """

    def __init__(self, name: str, root: str) -> None:
        """`name` is what the configuration calls it."""
        self.name = name
        self.root = root.rstrip("/") or "/"
        self.check: Callable[[], None] = lambda: None
        """Called now and then while bytes are on their way; may raise to break that off."""

    def expect(self) -> None:  # noqa: B027 (most have nothing to prepare)
        """Prepare for a call that will come: what takes a while to reach begins to connect.

        It returns at once; what goes wrong, the call says.
        """

    @abstractmethod
    def services(self) -> list[str]:
        """Give the services that have a folder here."""

    @abstractmethod
    def files(self, service: str) -> list[Stored]:
        """Give all files in the folder of a service, sorted by name; none when it has none."""

    @abstractmethod
    def read(self, service: str, name: str, offset: int, length: int) -> bytes:
        """Read a range; short at the end of the file."""

    @abstractmethod
    def size(self, service: str, name: str) -> int:
        """Give the size of a file in bytes."""

    @abstractmethod
    def receive(
        self, service: str, name: str, source: Source, ranges: Iterable[tuple[int, int]]
    ) -> Iterator[int]:
        """Write what the source holds, range after range, under the unfinished name of `name`.

        Gives the bytes taken so far; at the end they are on stable storage.
        """

    @abstractmethod
    def publish(self, service: str, name: str, prove: Callable[[str], None]) -> None:
        """Give what was received its final name, at once and for good.

        `prove` is called with the name under which it can be read back, and raises when it is not
        as it should be; then nothing stands under the final name.
        """

    @abstractmethod
    def discard(self, service: str, name: str) -> None:
        """Drop what was received under the unfinished name of `name`, if anything was."""

    @abstractmethod
    def clean(self, service: str, before: str = LATER) -> None:
        """Drop everything unfinished that dead runs of a service left, begun before a time."""

    @abstractmethod
    def delete(self, service: str, name: str) -> None:
        """Delete one file whole."""

    @abstractmethod
    def probe(self, token: str) -> None:
        """Write a small file, read it back, rename and delete it."""

    @abstractmethod
    def free(self) -> int | None:
        """Give the free space in bytes, where it can be known."""

    def archives(self, service: str) -> list[Stored]:
        """Give the published archives of a service, oldest name first."""
        return [
            stored
            for stored in self.files(service)
            if (parsed := ArchiveName.parse(stored.name)) and parsed.service == service
        ]

    def _unfinished(self, service: str, before: str) -> list[str]:
        names = [stored.name for stored in self.files(service)]
        return [
            name for name in names if (parsed := unfinished_archive(name)) and parsed.time < before
        ]

    @contextmanager
    def _border(self, action: str) -> Iterator[None]:
        """Turn what a library raises into one of our errors."""
        try:
            yield
        except OSError as error:
            raise self._fault(action, error) from error

    def _fault(self, action: str, error: OSError) -> VaultError:
        what = f"destination {self.name} ({self.root}): cannot {action}"
        if isinstance(error, FileNotFoundError):
            return NotThere(f"{what}: it is not there")
        hint = HINTS.get(error.errno or 0, "try it with: packrat check --connect")
        return Away(f"{what}: {error.strerror or error}", hint)


def unfinished(name: str) -> str:
    """Give the name under which a file is written until it is whole."""
    return f".{name}.part"


def unfinished_archive(name: str) -> ArchiveName | None:
    """Give what a file that is not whole would become; None for what packrat did not write."""
    return ArchiveName.parse(name[1:].removesuffix(".part")) if name.startswith(".") else None
