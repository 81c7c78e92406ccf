"""The layout of a restore: which stretch of which frame goes where in which file.

Frames arrive in the order of the archives, files lie in the order of the tree; in between stands
this table, in a private SQLite file, so that memory stays small with a million files.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from stages.target.plausible import Plausible
from vault.errors import Damaged
from vault.format import Entry, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vault.format import Reference

FOLDER, DATA, NO_DATA = range(3)
"""What makes an entry: itself, the stretches of its content, or what it says."""
TOGETHER = 10_000
"""So many are inserted at once."""
GROUP = 512
"""So many stretches of one frame, at the most, are one row: they are decoded, proven and written
together, as one task of the pool in each stage."""


class Stretch(msgspec.Struct, array_like=True, gc=False):
    """A chunk in a frame, and where it goes."""

    offset: int
    """In the frame."""
    length: int
    id: str
    at: int
    """Where it stands in the file."""
    number: int
    """Which entry it is of."""
    pieces: int
    """How many chunks that has."""
    entry: Entry


_place = attrgetter("offset", "length")
_decode = msgspec.json.Decoder(Entry).decode
_decode_stretches = msgspec.json.Decoder(list[Stretch]).decode


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
        self._lost: list[tuple[str, int]] = []
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -16384")
        # Not all of them: most files are in the stretches of their content.
        # `same`: the number of the entry that this one is another hard link of.
        self._db.execute(
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, entry BLOB, made INT, same INT)"
        )
        self._db.execute("CREATE TABLE frames (archive INT, frame INT, stretches BLOB)")
        self._db.execute("BEGIN")
        self._new_entries: list[tuple[object, ...]] = []
        self._new_stretches: defaultdict[tuple[int, int], list[Stretch]] = defaultdict(list)
        self._new = 0

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
        made = FOLDER if entry.type == "dir" else NO_DATA
        if same == number and (chunks or stands):
            made = DATA
            if not stands:
                self._add_stretches(number, entry, chunks)
        if made != DATA or linked:
            link = None if same == number else same
            self._new_entries.append((number, encode(entry), made, link))
            self._new += 1
        if self._new >= TOGETHER:
            self._insert()

    def _add_stretches(self, number: int, entry: Entry, chunks: list[Reference]) -> None:
        for (name, archive, frame, offset, length), at in pieces_of(entry, chunks):
            place = self._archives.setdefault(archive, len(self._archives))
            stretch = Stretch(offset, length, name, at, number, len(chunks), entry)
            self._new_stretches[place, frame].append(stretch)
            self.size += length
        self._new += len(chunks)

    def _insert(self) -> None:
        rows = (
            (*frame, encode(new[start : start + GROUP]))
            for frame, new in self._new_stretches.items()
            for start in range(0, len(new), GROUP)
        )
        self._db.executemany("INSERT INTO frames VALUES (?, ?, ?)", rows)
        self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", self._new_entries)
        self._new_stretches.clear()
        self._new_entries.clear()
        self._new = 0

    def is_first(self, entry: Entry) -> bool:
        """Say whether an entry is the first of its hard links, whose data make them all."""
        return not entry.link or entry.link not in self._links

    def frames(self, name_of: Callable[[str], str]) -> list[tuple[str, int]]:
        """Give (archive id, frame number) of each frame that is needed, oldest archive first."""
        self._insert()
        self._db.execute("COMMIT")
        self._db.execute("CREATE INDEX by_frame ON frames (archive, frame)")
        ids = {place: archive for archive, place in self._archives.items()}
        needed = self._db.execute("SELECT DISTINCT archive, frame FROM frames").fetchall()
        named = [(name_of(ids[place]), frame, ids[place]) for place, frame in needed]
        return [(archive, frame) for _, frame, archive in sorted(named)]

    def groups(self, archive: str, frame: int) -> list[bytes]:
        """Give what is wanted of a frame, in groups, for `stretches`."""
        rows = self._db.execute(
            "SELECT stretches FROM frames WHERE archive = ? AND frame = ?",
            (self._archives[archive], frame),
        )
        return [group for (group,) in rows.fetchall()]

    @staticmethod
    def stretches(group: bytes) -> list[Stretch]:
        """Give the stretches of a group in the order of the frame; any thread may ask."""
        return sorted(_decode_stretches(group), key=_place)

    def is_last(self, stretch: Stretch) -> bool:
        """Count a piece that is on its way: say whether it is the last one of its file."""
        if stretch.pieces == 1:
            return True
        left = self._left.pop(stretch.number, stretch.pieces) - 1
        if left:
            self._left[stretch.number] = left
        return not left

    def lose(self, archive: str, frame: int) -> None:
        """Count every file that needs this frame as lost."""
        self._lost.append((archive, frame))

    def lost(self) -> Iterator[Entry]:
        """Give the files of which some piece is lost; not their other hard links."""
        groups = (group for lost in self._lost for group in self.groups(*lost))
        entries = {s.number: s.entry for group in groups for s in self.stretches(group)}
        for number in sorted(entries):
            yield entries[number]

    def folders(self, *, deepest_first: bool = False) -> Iterator[Entry]:
        """Give the folders, in order or against it."""
        direction = "DESC" if deepest_first else "ASC"
        for (encoded,) in self._db.execute(
            f"SELECT entry FROM entries WHERE made = {FOLDER} ORDER BY number {direction}"  # noqa: S608
        ):
            yield _decode(encoded)

    def without_data(self) -> Iterator[tuple[Entry, Entry | None]]:
        """Give all that no piece makes: (entry, the entry that it is a hard link of).

        Hard links of a lost file come, too.
        """
        for encoded, same in self._db.execute(
            f"SELECT entry, same FROM entries WHERE made = {NO_DATA} ORDER BY number"  # noqa: S608
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
