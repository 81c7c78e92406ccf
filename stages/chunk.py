"""Chunking: cut the data of files where its content says so, and name each chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.stage import Stage
from stages.facts import RestoreJob
from stages.items import Chunk, Piece
from vault.archive.chunks import CHUNK_LEAST, CHUNK_MOST, Cutter, chunk_id
from vault.archive.keys import Keys
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from vault.archive.format import Entry


class ChunkStage(Stage):
    """Stage that makes one chunk of a small file, and cuts a large one about every MiB."""

    kind: ClassVar[str] = "chunk"
    backwards: ClassVar[str] = "prove"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Chunk
    needs: ClassVar[tuple[type, ...]] = (Keys,)
    inverse_needs: ClassVar[tuple[type, ...]] = (Keys, RestoreJob)

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Chunk]:
        """Yield the chunks of each piece; an entry without data is one chunk without an id."""
        key = run.fact(Keys).naming_key
        cutting = _Cutting(key)
        for piece in pieces:
            if piece.kept:
                yield Chunk(piece.entry, kept=piece.kept)
            elif piece.stored:
                yield Chunk(piece.entry, stored=True)
            elif piece.last and len(piece.data) <= CHUNK_LEAST and not cutting.has(piece.entry):
                name = chunk_id(key, piece.data) if piece.data else ""
                yield Chunk(piece.entry, piece.offset, piece.data, early=piece.early, id=name)
            else:
                yield from cutting.add(piece)

    def inverse(self, chunks: Iterator[Chunk], run: Run) -> Iterator[Piece]:
        """Prove each chunk by its name and yield it as a piece of its file; raises Damaged."""
        key, where = run.fact(Keys).naming_key, run.fact(RestoreJob).where
        proven: Chunk | None = None
        for chunk in chunks:
            if not proven or chunk.data is not proven.data or chunk.id != proven.id:
                if chunk_id(key, chunk.data) != chunk.id:
                    raise Damaged(where, f"chunk {chunk.id} has other content")
                proven = chunk
            yield Piece(chunk.entry, chunk.offset, chunk.data, chunk.last)


class _Cutting:
    """Cutter of one large file at a time, as its pieces arrive."""

    def __init__(self, naming_key: bytes) -> None:
        self._key = naming_key
        self._cutter = Cutter()
        self._entry: Entry | None = None
        self._tail = b""
        """Data that is not followed by a true cut yet."""
        self._at = 0
        """Position of the tail in the file."""
        self._again = False

    def has(self, entry: Entry) -> bool:
        return entry is self._entry

    def add(self, piece: Piece) -> Iterator[Chunk]:
        if piece.again or piece.entry is not self._entry:
            self._entry, self._tail, self._at = piece.entry, b"", piece.offset
            self._again = piece.again
        if piece.offset != self._at + len(self._tail):  # a hole: no chunk crosses it
            yield from self._give(self._cutter.cut(self._tail))
            self._at = piece.offset
        views = self._cutter.cut(self._tail + piece.data if self._tail else piece.data)
        if piece.last:
            yield from self._give(views)
            # Ends the entry, which may have no data at all.
            yield Chunk(piece.entry, again=self._again, early=piece.early)
            self._entry = None
        else:
            # The end of the data so far is no true cut, unless a chunk cannot be longer.
            tail = b"" if not views or len(views[-1]) == CHUNK_MOST else bytes(views.pop())
            yield from self._give(views)
            self._tail = tail

    def _give(self, views: list[memoryview]) -> Iterator[Chunk]:
        assert self._entry is not None
        for view in views:
            name = chunk_id(self._key, view)
            yield Chunk(self._entry, self._at, view, last=False, again=self._again, id=name)
            self._at += len(view)
            self._again = False
        self._tail = b""
