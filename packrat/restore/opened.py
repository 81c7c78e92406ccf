"""Open backup, for everything that reads its index."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stages.replicas import Replicas
from vault.archive.index import blocks_of, read_entries, read_layout
from vault.archive.lists import ChunkLists
from vault.store.base import never

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packrat.restore.choose import Chosen
    from vault.archive.format import Block, Entry, Manifest, Reference
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive


class OpenedBackup:
    """Reader of the index of one backup; what was read once is not fetched again."""

    def __init__(
        self,
        service: str,
        chosen: Chosen,
        keys: Keys,
        opened: dict[str, Archive] | None = None,
    ) -> None:
        """Read a chosen backup; `opened` are archives that other backups have opened, by id."""
        self.service = service
        self.keys = keys
        self.source = chosen.catalog.destination.name
        """The destination that it is read from; reads fail over to the others."""
        self.name = chosen.archive.name
        """File name of the archive."""
        self.where = chosen.archive.where
        self.manifest: Manifest = chosen.archive.manifest
        self.replicas = Replicas(chosen.archive, [chosen.catalog, *chosen.others], keys, opened)
        if opened is None:  # otherwise the readers of several backups share a cache
            self.replicas.remember_index()
        self._blocks: list[Block] = []
        self._fetch = partial(self.segment, True)
        self._lists = ChunkLists(self._fetch, self.where)

    def segment(self, is_index: bool, archive_id: str, number: int) -> bytes:  # noqa: FBT001
        """Return the plaintext of a segment of this backup; raises VaultError."""
        read = self.replicas.index if is_index else self.replicas.data
        return read(archive_id, number, never)

    def entries(self, paths: Sequence[str] = ()) -> Iterator[Entry]:
        """Yield all entries, or at least those of some paths; raises VaultError."""
        self._blocks = self._blocks or read_layout(self.manifest.index, self._fetch, self.where)
        blocks = blocks_of(self._blocks, paths) if paths else self._blocks
        return read_entries(blocks, self._fetch, self.where)

    def chunks(self, entry: Entry) -> Iterable[Reference]:
        """Return the references of an entry's chunks; raises VaultError."""
        return self._lists.references(entry)
