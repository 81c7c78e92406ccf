"""Lists in the index: references of a large file's chunks, and of the index's own blocks.

They are cut where the ids of their items say so, so a change rewrites the lists around it only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from vault.archive.check_entry import Implausible, check_reference
from vault.archive.format import decode_references, encode
from vault.archive.limits import SEGMENT_MOST
from vault.archive.ranges import (
    BLOCK_BYTES,
    LIST_MOST,
    LISTED_FROM,
    REFERENCES_MOST,
)
from vault.archive.shared_cache import SharedCache
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from vault.archive.format import Block, Entry, Reference

    Fetch = Callable[[str, int], bytes]
    """(archive id, frame number) -> plaintext of that index segment."""

Item = TypeVar("Item")

LIST_LEAST, CUT_MASK = 32, 31
"""A list has about 64 items: from the 32nd on, it ends at an id whose last 5 bits are zero."""
KEPT_BYTES = 64 << 20
"""Index segments that a reader of chunk lists keeps."""


def list_chunks(entry: Entry) -> Iterator[list[Reference]]:
    """Take complete chunk lists off the chunks of a growing entry, and yield them.

    An entry with at most LISTED_FROM chunks keeps them. Call it after each chunk that was added,
    and add the place of each list to the entry.
    """
    chunks = entry.chunks
    if len(chunks) <= LISTED_FROM and not entry.lists:
        return
    start = len(chunks) - 1 if entry.lists else 0
    while end := _first_cut([chunk[0] for chunk in chunks[start:LIST_MOST]], start):
        yield chunks[:end]
        del chunks[:end]
        start = 0


def last_chunks(entry: Entry) -> list[Reference]:
    """Take the last chunk list off the chunks of a complete entry; empty if it needs none."""
    if not entry.lists and len(entry.chunks) <= LISTED_FROM:
        return []
    last = entry.chunks[:]
    entry.chunks.clear()
    return last


def list_blocks(blocks: list[Block]) -> Iterator[bytes]:
    """Yield the block lists of an index, encoded."""
    at = 0
    while at < len(blocks):
        part = blocks[at : at + LIST_MOST]
        end = _first_cut([block.chunk[0] for block in part], 0) or len(part)
        data = encode(part[:end])
        while len(data) > BLOCK_BYTES and end > 1:  # only with very long paths
            end //= 2
            data = encode(part[:end])
        yield data
        at += end


def _first_cut(ids: list[str], start: int) -> int:
    """Return how many items the list has that these ids continue at `start`; 0 if it goes on."""
    for at, name in enumerate(ids, start + 1):
        if at >= LIST_LEAST and not int(name[-2:], 16) & CUT_MASK:
            return at
    return LIST_MOST if start + len(ids) >= LIST_MOST else 0


def read_list(
    place: Reference, fetch: Fetch, archive: str, known: Container[str] | None = None
) -> list[Reference]:
    """Return the references of one chunk list; raises Damaged, naming `archive`."""
    _, owner, frame, offset, length = place
    segment = fetch(owner, frame)
    if offset + length > len(segment):
        raise Damaged(archive, f"its index refers past the end of frame {frame}")
    try:
        references = decode_references(memoryview(segment)[offset : offset + length])
        for reference in references:
            check_reference(reference, known, SEGMENT_MOST)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Damaged(archive, f"a chunk list does not parse: {error}") from None
    except Implausible as wrong:
        raise Damaged(archive, f"a chunk list {wrong}") from None
    if not 0 < len(references) <= LIST_MOST:
        raise Damaged(archive, "a chunk list is empty, or longer than the format allows")
    return references


class ChunkLists:
    """Reader of the references of entries, one list at a time. Used by one thread at a time."""

    def __init__(self, fetch: Fetch, archive: str, known: Container[str] | None = None) -> None:
        """Read lists with `fetch`; errors name `archive`, whose index this is.

        `known` are the archives that entries may refer to; None skips that check.
        """
        self._fetch, self._archive, self._known = fetch, archive, known
        self._segments = SharedCache[tuple[str, int], bytes](KEPT_BYTES, len)

    def references(self, entry: Entry) -> Iterable[Reference]:
        """Return the references of an entry's chunks; iterating raises VaultError."""
        return self._listed(entry) if entry.lists else entry.chunks

    def _listed(self, entry: Entry) -> Iterator[Reference]:
        count = 0
        for place in entry.lists:
            references = read_list(place, self._segment, self._archive, self._known)
            count += len(references)
            if count > REFERENCES_MOST:
                wrong = "has more chunks than the format allows"
                raise Damaged(self._archive, f"{entry.name!r} {wrong}")
            yield from references

    def _segment(self, archive: str, frame: int) -> bytes:
        return self._segments.get((archive, frame), lambda: self._fetch(archive, frame))
