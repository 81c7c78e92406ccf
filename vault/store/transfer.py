"""Parts of an archive that is stored elsewhere, for a transfer from store to store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.store.base import never

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault.store.base import Check, Store

PART_BYTES = 8 << 20


class StoredPart:
    """Range of a file in a store."""

    def __init__(
        self, store: Store, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> None:
        self.offset, self.length = offset, length
        self._store, self._service, self._name, self._check = store, service, name, check

    def read(self) -> bytes:
        """Return its bytes; raises VaultError."""
        return self._store.read(self._service, self._name, self.offset, self.length, self._check)

    def link(self, path: str) -> bool:
        """Return False: a replica has its own bytes."""
        del path
        return False


def parts_of(
    store: Store, service: str, name: str, size: int, check: Check = never
) -> Iterator[StoredPart]:
    """Yield a file of `size` bytes in parts of at most PART_BYTES."""
    for offset in range(0, size, PART_BYTES):
        yield StoredPart(store, service, name, offset, min(PART_BYTES, size - offset), check)
