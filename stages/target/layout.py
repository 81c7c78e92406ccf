"""The layout of a restore: which piece of which frame goes where in which file.

Frames arrive in the order of the archives, files lie in the order of the tree; in between stands
this table, in a private SQLite file, so that memory stays small with a million files.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec

from stages.items import Chunk
from stages.target.plausible import Plausible
from vault.errors import Damaged
from vault.format import Entry, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stages.items import Segment
    from vault.format import Reference

STANDS = -1
"""Instead of a number of pieces: the file is there already."""

ROWS = 1000
"""So many are inserted at once."""

_decode = msgspec.json.Decoder(Entry).decode


class Layout:
    """Everything that is to be restored."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that will be written."""
        self._entries = 0
        self._plausible = Plausible()
        self._links: dict[tuple[int, int], int] = {}
        self._archives: dict[str, int] = {}
        self._left: dict[int, int] = {}
        self._lost: set[int] = set()
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -16384")
        # `same`: the number of the entry that this one is another hard link of.
        self._db.execute(
            "CREATE TABLE entries"
            " (number INTEGER PRIMARY KEY, entry BLOB, folder INT, pieces INT, same INT)"
        )
        self._db.execute(
            "CREATE TABLE pieces (archive INT, frame INT, offset INT, length INT, id TEXT,"
            " entry INT, at INT)"
        )
        self._db.execute("BEGIN")
        self._new_entries: list[tuple[object, ...]] = []
        self._new_pieces: list[tuple[object, ...]] = []

    def add(self, entry: Entry, *, stands: bool = False) -> None:
        """Lay out one entry; they come in the order of the index, folders before their content.

        One that `stands` in the target needs nothing any more. Raises Damaged for one that no
        packrat wrote.
        """
        self._plausible.check(entry)
        number = self._entries
        self._entries += 1
        linked = entry.link if entry.type != "dir" else None
        same = self._links.setdefault(linked, number) if linked else number
        chunks, entry.chunks = entry.chunks, []
        pieces = STANDS if stands else 0
        if same == number and chunks and not stands:
            rows = [
                (self._place(archive), frame, offset, length, name, number, at)
                for (name, archive, frame, offset, length), at in pieces_of(entry, chunks)
            ]
            pieces = len(rows)
            self._new_pieces += rows
            self.size += sum(row[3] for row in rows)
        link = None if same == number else same
        self._new_entries.append((number, encode(entry), entry.type == "dir", pieces, link))
        if len(self._new_entries) >= ROWS or len(self._new_pieces) >= ROWS:
            self._insert()

    def _insert(self) -> None:
        self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", self._new_entries)
        self._db.executemany("INSERT INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?)", self._new_pieces)
        self._new_entries, self._new_pieces = [], []

    def is_first(self, entry: Entry) -> bool:
        """Say whether an entry is the first of its hard links, whose data make them all."""
        return not entry.link or entry.link not in self._links

    def _place(self, archive: str) -> int:
        return self._archives.setdefault(archive, len(self._archives))

    def frames(self, name_of: Callable[[str], str]) -> list[tuple[str, int]]:
        """Give (archive id, frame number) of each frame that is needed, oldest archive first."""
        self._insert()
        self._db.execute("COMMIT")
        self._db.execute("CREATE INDEX by_frame ON pieces (archive, frame, offset)")
        ids = {place: archive for archive, place in self._archives.items()}
        needed = self._db.execute("SELECT DISTINCT archive, frame FROM pieces").fetchall()
        named = [(name_of(ids[place]), frame, ids[place]) for place, frame in needed]
        return [(archive, frame) for _, frame, archive in sorted(named)]

    def chunks_of(self, segment: Segment) -> Iterator[Chunk]:
        """Cut a segment into the chunks that are wanted of it; raises Damaged."""
        rows = self._db.execute(
            "SELECT offset, length, pieces.id, at, number, entries.pieces, entries.entry"
            " FROM pieces JOIN entries ON number = pieces.entry"
            " WHERE archive = ? AND frame = ? ORDER BY offset, length",
            (self._archives[segment.archive], segment.number),
        ).fetchall()
        view = memoryview(segment.data[0])
        cut = (-1, -1)
        data = view[:0]
        for offset, length, name, at, number, pieces, encoded in rows:
            if cut != (offset, length):
                if offset + length > len(view):
                    raise Damaged(segment.archive, f"frame {segment.number} is too short")
                cut, data = (offset, length), view[offset : offset + length]
            last = pieces == 1
            if not last:
                left = self._left.get(number, pieces) - 1
                self._left[number] = left
                last = not left
                if last:
                    del self._left[number]
            yield Chunk(_decode(encoded), name, at, data, last)

    def lose(self, archive: str, frame: int) -> None:
        """Count every file that needs this frame as lost."""
        self._lost |= {
            number
            for (number,) in self._db.execute(
                "SELECT DISTINCT entry FROM pieces WHERE archive = ? AND frame = ?",
                (self._archives[archive], frame),
            )
        }

    def lost(self) -> Iterator[Entry]:
        """Give the files of which some piece is lost; not their other hard links."""
        for number in sorted(self._lost):
            yield self._entry(number)

    def folders(self, *, deepest_first: bool = False) -> Iterator[Entry]:
        """Give the folders, in order or against it."""
        direction = "DESC" if deepest_first else "ASC"
        for (encoded,) in self._db.execute(
            f"SELECT entry FROM entries WHERE folder ORDER BY number {direction}"  # noqa: S608
        ):
            yield _decode(encoded)

    def without_data(self) -> Iterator[tuple[Entry, Entry | None]]:
        """Give all that no piece makes: (entry, the entry that it is a hard link of).

        Hard links of a lost file come, too.
        """
        for encoded, same in self._db.execute(
            "SELECT entry, same FROM entries WHERE pieces = 0 AND NOT folder ORDER BY number"
        ):
            yield _decode(encoded), self._entry(same) if same is not None else None

    def _entry(self, number: int) -> Entry:
        row = self._db.execute("SELECT entry FROM entries WHERE number = ?", (number,)).fetchone()
        return _decode(row[0])


def pieces_of(entry: Entry, chunks: list[Reference]) -> Iterator[tuple[Reference, int]]:
    """Give each chunk and where it goes: chunks, end to end, are the extents, end to end.

    Raises Damaged when they are not.
    """
    extents = iter(entry.data)
    at, left = next(extents, (0, 0))
    for chunk in chunks:
        if not left:
            at, left = next(extents, (0, 0))
        length = chunk[4]
        if not 0 < length <= left:
            raise Damaged(repr(entry.name), "its chunks do not fit its size")
        yield chunk, at
        at, left = at + length, left - length
    if left or next(extents, None):
        raise Damaged(repr(entry.name), "its chunks do not fill its size")
