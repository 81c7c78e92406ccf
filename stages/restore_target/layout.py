"""Layout of a restore: which stretch of which frame goes to which position of which file.

Frames arrive in the order of the archives, files are in the order of the tree. This table connects
the two. It is in a scratch file, so that memory use stays small with a million files.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from vault.archive.check_entry import pieces_of
from vault.archive.check_index import IndexCheck
from vault.archive.format import Entry, encode, order
from vault.archive.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from vault.archive.format import Reference, Summary
    from vault.archive.lineage import Root
    from vault.errors import VaultError

FOLDER, FILE, PIECED, NO_DATA = range(4)
"""Way in which an entry is created: with the first entry inside it; from the one stretch that is
its whole content; before the several stretches that are; or at the end, from the entry alone."""
TOGETHER = 10_000
"""Rows inserted at once."""
WANTED_MOST = 2048
"""Most stretches of one frame that are passed on together. A frame with more of them is opened once
for each part."""


class Stretch(msgspec.Struct, array_like=True, gc=False):
    """Chunk in a frame, and where it goes."""

    start: int
    """Position in the frame."""
    end: int
    id: str
    at: int
    """Position in the file."""
    whole: bool
    """It is the whole content of its file."""
    entry: Entry


_position = attrgetter("start", "end")
_decode = msgspec.json.Decoder(Entry).decode
_encode_stretches = msgspec.json.Encoder().encode_lines
_decode_stretches = msgspec.json.Decoder(Stretch).decode_lines


class Layout:
    """Table of everything that is to be restored."""

    def __init__(
        self, scratch: str = "", archive: str = "the backup", roots: Collection[Root] = ()
    ) -> None:
        """Open a table in the folder `scratch`; errors about entries name `archive`."""
        self.sizes: defaultdict[str, int] = defaultdict(int)
        """Bytes to write, by the first name of the path."""
        self.damage: dict[str, VaultError] = {}
        """Archive id -> the damage that makes files unrecoverable."""
        self.left_out: list[str] = []
        """Paths that the target's filesystem does not take."""
        self._entries = 0
        self._check = IndexCheck(archive, roots=roots)
        self._links: dict[tuple[int, int], int] = {}
        self._archives: dict[str, int] = {}
        self._lost: set[tuple[str, int]] = set()
        self._db = Scratch(scratch, cache_kib=4096)
        # Not all entries: most files are in the stretches of their content. `same`: the number of
        # the entry that this one is another hard link of.
        self._db.execute(
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, entry BLOB, made INT, same INT)"
        )
        self._db.execute("CREATE TABLE frames (archive INT, frame INT, count INT, stretches BLOB)")
        self._db.execute("BEGIN")
        self._new_entries: list[tuple[object, ...]] = []
        self._new_stretches: defaultdict[tuple[int, int], list[Stretch]] = defaultdict(list)
        self._new = 0

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(self.sizes.values())

    def add(self, entry: Entry, chunks: Iterable[Reference] = (), *, stands: bool = False) -> None:
        """Add one entry; they come in the order of the index, folders before their content.

        `chunks` are those of a file, also if the entry has them in chunk lists. An entry that
        `stands` is already complete in the target. Raises Damaged for an entry that packrat never
        writes.
        """
        self._check.check(entry)
        number = self._entries
        self._entries += 1
        linked = entry.link if entry.type != "dir" else None
        same = self._links.setdefault(linked, number) if linked else number
        made = FOLDER if entry.type == "dir" else NO_DATA
        count = len(entry.chunks) + len(entry.lists)
        whole = len(entry.chunks) == 1 and entry.extents is None
        entry = structs.replace(entry, chunks=[], lists=[])
        if same == number and (count or stands):
            made = FILE
            if not stands:
                made = FILE if whole else PIECED
                self._add_stretches(entry, chunks, whole=whole)
        if made != FILE or linked:
            link = None if same == number else same
            self._new_entries.append((number, encode(entry), made, link))
            self._new += 1
        if self._new >= TOGETHER:
            self._insert()

    def leave_out(self, entry: Entry) -> None:
        """Check the next entry without adding it, because the target does not take its name."""
        self._check.check(entry)
        self.left_out.append(entry.name)

    def require_complete(self, manifest: Summary) -> None:
        """Raise Damaged unless all entries of a whole backup have been added."""
        self._check.check_totals(manifest)

    def _add_stretches(self, entry: Entry, chunks: Iterable[Reference], *, whole: bool) -> None:
        pieces = pieces_of(entry, chunks)
        if entry.extents:  # each stretch has a copy of the extents, so their sum is enough
            entry = structs.replace(entry, extents=[(0, sum(n for _, n in entry.extents))])
        label = entry.name.partition("/")[0]
        for (name, archive, frame, offset, length), at in pieces:
            place = self._archives.setdefault(archive, len(self._archives))
            stretch = Stretch(offset, offset + length, name, at, whole, entry)
            self._new_stretches[place, frame].append(stretch)
            self.sizes[label] += length
            self._new += 1
            if self._new >= TOGETHER:
                self._insert()

    def _insert(self) -> None:
        rows = (
            (*frame, len(some), _encode_stretches(some))
            for frame, new in self._new_stretches.items()
            for start in range(0, len(new), WANTED_MOST)
            for some in [new[start : start + WANTED_MOST]]
        )
        self._db.insert("INSERT INTO frames VALUES (?, ?, ?, ?)", rows)
        self._db.insert("INSERT INTO entries VALUES (?, ?, ?, ?)", self._new_entries)
        self._new_stretches.clear()
        self._new_entries.clear()
        self._new = 0

    def complete(self, name_of: Callable[[str], str]) -> None:
        """Close the table for additions; it can only be read after that.

        Raises what `name_of` raises for an unknown archive.
        """
        for archive in self._archives:
            name_of(archive)
        self._insert()
        self._db.execute("COMMIT")
        self._db.execute("CREATE INDEX by_frame ON frames (archive, frame)")

    def close(self) -> None:
        """Delete the table."""
        self._db.close()

    def is_first(self, entry: Entry) -> bool:
        """Return whether an entry is the first of its hard links, which all share its data."""
        return not entry.link or entry.link not in self._links

    def frames(self, name_of: Callable[[str], str]) -> list[tuple[str, int]]:
        """Return (archive id, frame number) of each required frame, oldest archive first."""
        ids = {place: archive for archive, place in self._archives.items()}
        needed = self._db.execute("SELECT DISTINCT archive, frame FROM frames").fetchall()
        named = [(name_of(ids[place]), frame, ids[place]) for place, frame in needed]
        return [(archive, frame) for _, frame, archive in sorted(named)]

    def wanted(self, archive: str, frame: int) -> Iterator[bytes]:
        """Yield the required stretches of a frame, encoded, in parts that `stretches_of` decodes.

        There are as few parts as possible: a frame that files all over the tree need has many rows.
        """
        rows = self._db.execute(
            "SELECT count, stretches FROM frames WHERE archive = ? AND frame = ?",
            (self._archives[archive], frame),
        )
        together, part = 0, b""
        for count, stretches in rows:
            if together + count > WANTED_MOST:
                yield part
                together, part = 0, b""
            together += count
            part += stretches
        if part:
            yield part

    def lose(self, archive: str, frame: int, error: VaultError) -> None:
        """Count every file that needs this frame as lost; the others are restored."""
        self._lost.add((archive, frame))
        self.damage.setdefault(archive, error)

    def lost(self) -> Iterator[Entry]:
        """Yield the files with a lost piece, but not their other hard links."""
        wanted = (part for lost in self._lost for part in self.wanted(*lost))
        entries = {s.entry.name: s.entry for part in wanted for s in stretches_of(part)}
        for name in sorted(entries, key=order):
            yield entries[name]

    def folders(self, *, deepest_first: bool = False) -> Iterator[Entry]:
        """Yield the folders, in order or in reverse."""
        yield from self._made(FOLDER, "DESC" if deepest_first else "ASC")

    def pieced(self) -> Iterator[Entry]:
        """Yield the files that consist of several stretches or have holes."""
        yield from self._made(PIECED)

    def without_data(self) -> Iterator[tuple[Entry, Entry | None]]:
        """Yield all entries without a piece of their own: (entry, the entry it is a hard link of).

        Hard links of a lost file are included.
        """
        for encoded, same in self._db.execute(
            f"SELECT entry, same FROM entries WHERE made = {NO_DATA} ORDER BY number"  # noqa: S608
        ):
            yield _decode(encoded), self._entry(same) if same is not None else None

    def _made(self, how: int, direction: str = "ASC") -> Iterator[Entry]:
        for (encoded,) in self._db.execute(
            f"SELECT entry FROM entries WHERE made = {how} ORDER BY number {direction}"  # noqa: S608
        ):
            yield _decode(encoded)

    def _entry(self, number: int) -> Entry:
        row = self._db.execute("SELECT entry FROM entries WHERE number = ?", (number,)).fetchone()
        return _decode(row[0])


def stretches_of(wanted: bytes) -> list[Stretch]:
    """Decode stretches of a frame, and return them in the order of the frame."""
    return sorted(_decode_stretches(wanted), key=_position)
