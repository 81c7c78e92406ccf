"""Interface of every kind of storage for archives.

Files are kept as `<root>/<service>/<name>`. A file that is being written has an unfinished name,
which begins with a dot and ends in `.part`. It gets its final name in one step, after it has been
read back. Nothing else is ever rewritten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from vault.archive.format import ArchiveName, parse_name
from vault.errors import Away, NotThere
from vault.store.upload import Check, Part, Upload, never, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PART_BYTES = 8 << 20
MOST_FILES = 200_000
"""Entries of one folder; a server with more makes them up."""
LATER = "9"
"""A time that is later than any other."""

__all__ = ["LATER", "Check", "Part", "Properties", "Store", "Stored", "Upload", "never"]


class Stored(Struct, frozen=True):
    """File in a store, with its size in bytes."""

    name: str
    size: int


class Properties(Struct, frozen=True):
    """Capabilities of a filesystem."""

    atomic_rename: bool = True
    """A rename is one step: half a file, or no file, is never visible."""
    hidden_until_commit: bool = False
    """A file is not visible, and cannot be read back, before it is committed."""
    streams_writes: bool = True
    """Bytes are sent while they are written, not from a temporary file at the end."""
    ranged_reads: bool = True
    """A range of a file is read without the bytes before it."""


class Store(ABC):
    """Archives of all services below one folder.

    Every method raises Away if the store cannot be used, and NotThere for a missing file.
    Exceptions of a library are always translated. `check` is called from time to time while a call
    waits, and may raise to cancel it.
    """

    def __init__(self, name: str, root: str, properties: Properties) -> None:
        """Set the `name` by which the configuration calls the store, and its root."""
        self.name = name
        self.root = root.rstrip("/") or "/"
        self.properties = properties

    @abstractmethod
    def services(self, check: Check = never) -> list[str]:
        """Return the names of the folders of services, sorted."""

    @abstractmethod
    def files(self, service: str, check: Check = never) -> list[Stored]:
        """Return all files in the folder of a service, sorted by name; none if it has none."""

    @abstractmethod
    def size(self, service: str, name: str, check: Check = never) -> int:
        """Return the size of a file in bytes."""

    @abstractmethod
    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range of at most `length` bytes; it is shorter at the end of the file."""

    @abstractmethod
    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file under the unfinished name of `name`."""

    @abstractmethod
    def place(self, service: str, name: str, check: Check = never) -> None:
        """Rename a written file to its final name. `commit` does that, and proves the file."""

    @abstractmethod
    def discard(self, service: str, name: str) -> None:
        """Delete what was written under the unfinished name of `name`, if anything."""

    @abstractmethod
    def delete(self, service: str, name: str, check: Check = never) -> None:
        """Delete one whole file."""

    @abstractmethod
    def free(self, check: Check = never) -> int | None:
        """Return the free space in bytes; None if it is unknown."""

    def archives(self, service: str) -> list[Stored]:
        """Return the published archives of a service, oldest name first."""
        return published(self.files(service), service)

    def parts(self, service: str, name: str, size: int, check: Check = never) -> Iterator[Part]:
        """Yield a file of `size` bytes in parts, which another store can write."""
        for offset in range(0, size, PART_BYTES):
            length = min(PART_BYTES, size - offset)
            yield Part(offset, length, partial(self.read, service, name, offset, length, check))

    def write(
        self, service: str, name: str, parts: Iterable[Part], check: Check = never
    ) -> Iterator[int]:
        """Write consecutive parts under the unfinished name of `name`.

        Yields the number of bytes accepted so far. At the end all are on stable storage.
        """
        return send(lambda: self.upload(service, name, check), parts, check)

    def commit(
        self, service: str, name: str, prove: Callable[[str], None], check: Check = never
    ) -> None:
        """Rename a written file to its final name once it is proven.

        `prove` is called with the name under which the file can be read back, and raises if the
        file is not as it should be. Then nothing is left under the final name.
        """
        if not self.properties.hidden_until_commit:
            prove(unfinished(name))
        self.place(service, name, check)
        if not self.properties.atomic_rename:  # copied, or read back here for the first time
            try:
                prove(name)
            except BaseException:  # also if the run is cancelled: it is not proven
                with suppress(NotThere):
                    self.delete(service, name)
                raise

    def clean(self, service: str, before: str = LATER, check: Check = never) -> None:
        """Delete a service's unfinished files that dead runs left, begun before a time."""
        for stored in self.files(service, check):
            if (parsed := unfinished_archive(stored.name)) and parsed.time < before:
                with suppress(NotThere):  # it vanished meanwhile
                    self.delete(service, stored.name, check)

    def fault(self, action: str, why: str, hint: str = "", kind: type[Away] = Away) -> Away:
        """Return an error that names this store and what it could not do."""
        return kind(f"destination {self.name} ({self.root}): cannot {action}: {why}", hint)

    def absent(self, action: str, hint: str = "") -> NotThere:
        """Return the error for a missing file."""
        what = f"destination {self.name} ({self.root}): cannot {action}: it is not there"
        return NotThere(what, hint)


def published(
    files: list[Stored], service: str, kind: type[ArchiveName] = ArchiveName
) -> list[Stored]:
    """Return those files of a service's folder that have a name of this kind."""
    return [one for one in files if (parsed := kind.parse(one.name)) and parsed.service == service]


def unfinished(name: str) -> str:
    """Return the name of a file that is being written."""
    return f".{name}.part"


def unfinished_archive(name: str) -> ArchiveName | None:
    """Return the name that an unfinished file would get; None for a file Packrat did not write."""
    return parse_name(name[1:].removesuffix(".part")) if name.startswith(".") else None
