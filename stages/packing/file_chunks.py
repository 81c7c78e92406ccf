"""Chunks of files while they are packed: known or stored, and listed in the entry."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from msgspec import structs

from vault.archive.chunks import FINE_AVERAGE, Cutter, KnownChunks, chunk_id
from vault.archive.format import CHUNK_AVERAGE, encode
from vault.archive.lists import last_chunks, list_chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stages.packing.segments import Segments
    from vault.archive.format import Entry, Reference
    from vault.archive.lists import ChunkLists
    from vault.archive.usage import Usage

LARGE = 16 << 20
"""Smallest file whose chunks are cut into finer ones."""
FINE_LISTS_MOST = 62_500
"""Chunk lists of a file after which it is no longer cut finely: about 250 GiB."""
PROBED = 4
"""Parts of a new chunk that are looked up, to find out that it was cut finely before."""


class FileChunks:
    """Chunks of one file after the other.

    A large file that changes inside (a database, the image of a disk) is cut about every 64 KiB
    instead of every MiB, from the first sign of it on: a known chunk behind a new one, or a new one
    with parts that are known. Parts of a known chunk are referred to where they are.
    """

    def __init__(
        self,
        segments: Segments,
        usage: Usage,
        chunks: KnownChunks,
        lists: KnownChunks,
        usable: Collection[str],
        naming_key: bytes,
        own: str,
    ) -> None:
        """Look chunks up in `chunks` and chunk lists in `lists`; count references in `usage`.

        `usable` are the other archives that may be referred to.
        """
        self._segments, self._usage = segments, usage
        self._chunks, self._lists = chunks, lists
        self._usable, self._key, self._own = usable, naming_key, own
        self._cutter = Cutter(FINE_AVERAGE)
        self._changed: Entry | None = None
        """The current file, once it has had a new chunk."""

    def add(self, entry: Entry, name: str, data: bytes | memoryview) -> None:
        """Add the next chunk of an entry, storing it if it is new."""
        found = self._chunks.find(name)
        if entry.size >= LARGE and self._is_fine(entry, found, data):
            entry.average = FINE_AVERAGE
            for part, at, view in self._parts(data):
                if found:
                    _, archive, frame, offset, _ = found
                    self._append(entry, (part, archive, frame, offset + at, len(view)))
                else:
                    known = self._chunks.find(part)
                    self._append(entry, known or self._stored(part, view))
        else:
            self._append(entry, found or self._stored(name, data))

    def finish(self, entry: Entry) -> None:
        """Complete the chunk lists of an entry that needs some."""
        if last := last_chunks(entry):
            self._list(entry, last)
        self._changed = None

    def keep(self, entry: Entry, reader: ChunkLists) -> Entry:
        """Count the chunks of an unchanged entry; return it with lists in usable archives."""
        if all(place[1] in self._usable for place in entry.lists):
            for reference in chain(entry.lists, reader.references(entry)):
                self._usage.add(reference)
            return entry
        renewed = structs.replace(entry, chunks=[], lists=[])
        for reference in reader.references(entry):
            self._append(renewed, reference)
        self.finish(renewed)
        return renewed

    def _append(self, entry: Entry, reference: Reference) -> None:
        entry.chunks.append(reference)
        for chunks in list_chunks(entry):
            self._list(entry, chunks)

    def _stored(self, name: str, data: bytes | memoryview) -> Reference:
        reference = self._segments.store(b"d", name, data)
        self._chunks.add(reference)
        return reference

    def _list(self, entry: Entry, chunks: list[Reference]) -> None:
        data = encode(chunks)
        name = chunk_id(self._key, data)
        place = self._lists.find(name)
        if place is None:
            place = self._segments.store(b"i", name, data)
            self._lists.add(place)
        entry.lists.append(place)
        for reference in (place, *chunks):
            self._usage.add(reference)

    def _is_fine(self, entry: Entry, found: Reference | None, data: bytes | memoryview) -> bool:
        """Return whether the next chunk of a large file is to be cut into parts."""
        if entry.average != CHUNK_AVERAGE:
            return len(entry.lists) < FINE_LISTS_MOST
        if not self._usable:
            return False  # a first backup knows nothing, and probing costs as much as cutting
        if found:
            return self._changed is entry and found[1] != self._own
        self._changed = entry
        probed = [self._chunks.find(part) for part, _, _ in islice(self._parts(data), PROBED)]
        return any(known and known[1] != self._own for known in probed)

    def _parts(self, data: bytes | memoryview) -> Iterator[tuple[str, int, memoryview]]:
        """Yield the parts of a chunk: name, position in it, data."""
        at = 0
        for view in self._cutter.cut(data):
            yield chunk_id(self._key, view), at, view
            at += len(view)
