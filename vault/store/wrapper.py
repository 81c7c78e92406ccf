"""Base of the stores that wrap another store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vault.store.base import LATER, Check, Part, Store, Stored, Upload, never

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Wrapper(Store):
    """Store that passes every call on to another one."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.name, store.root, store.properties)
        self.store = store

    def run(self, work: Callable[[], Result], check: Check) -> Result:
        """Do one call of the wrapped store."""
        del check
        return work()

    def services(self, check: Check = never) -> list[str]:
        """Return the names of the folders of services."""
        return self.run(lambda: self.store.services(check), check)

    def files(self, service: str, check: Check = never) -> list[Stored]:
        """Return all files in the folder of a service."""
        return self.run(lambda: self.store.files(service, check), check)

    def size(self, service: str, name: str, check: Check = never) -> int:
        """Return the size of a file in bytes."""
        return self.run(lambda: self.store.size(service, name, check), check)

    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range."""
        return self.run(lambda: self.store.read(service, name, offset, length, check), check)

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file."""
        return self.run(lambda: self.store.upload(service, name, check), check)

    def place(self, service: str, name: str, check: Check = never) -> None:
        """Rename a written file to its final name."""
        self.run(lambda: self.store.place(service, name, check), check)

    def discard(self, service: str, name: str) -> None:
        """Delete an unfinished file."""
        self.run(lambda: self.store.discard(service, name), never)

    def delete(self, service: str, name: str, check: Check = never) -> None:
        """Delete one file."""
        self.run(lambda: self.store.delete(service, name, check), check)

    def clean(self, service: str, before: str = LATER, check: Check = never) -> None:
        """Delete unfinished files."""
        self.run(lambda: self.store.clean(service, before, check), check)

    def free(self, check: Check = never) -> int | None:
        """Return the free space in bytes."""
        return self.run(lambda: self.store.free(check), check)


class UploadWrapper(Upload):
    """Upload that passes every call on to another one."""

    def __init__(self, upload: Upload) -> None:
        self.inner = upload
        self.at_once = upload.at_once

    def part_size(self, number: int) -> int:
        """Return the least size of a part."""
        return self.inner.part_size(number)

    def room(self, length: int) -> int:
        """Return how many parts may be under way at once."""
        return self.inner.room(length)

    def put(self, number: int, part: Part, check: Check) -> None:
        """Write one part."""
        self.inner.put(number, part, check)

    def finish(self, check: Check) -> None:
        """Flush everything that was written to stable storage."""
        self.inner.finish(check)

    def abandon(self) -> None:
        """Release open resources."""
        self.inner.abandon()
