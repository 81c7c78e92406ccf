"""Verify: prove what a destination holds, each byte at most once."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.archive.chunks import chunk_id
from vault.archive.format import FIRST_SEGMENT
from vault.archive.index import read_entries
from vault.catalog.catalog import missing
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog, Held

SAMPLES = 3


@dataclass
class Verdict:
    """What was found of one archive; `status` is ok, damaged or missing."""

    id: str
    name: str
    destination: str
    status: str = "ok"
    problems: list[str] = field(default_factory=list)
    bytes_read: int = 0

    def fault(self, status: str, problem: str) -> None:
        """Note a problem."""
        self.status = status
        self.problems.append(problem)


class Verifier:
    """Proves the archives of one service at one destination."""

    def __init__(
        self, catalog: Catalog, keys: Keys, random: Callable[[int], bytes], *, deep: bool
    ) -> None:
        """`deep` reads every byte, else both ends, the index and some segments."""
        self._catalog = catalog
        self._keys = keys
        self._random = random
        self._deep = deep
        self._opened: dict[str, Archive] = {}
        self._verdicts: dict[str, Verdict] = {}
        # What backups refer to: each chunk once, in the order in which segments are read.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(
            "CREATE TABLE chunks (archive TEXT, frame INT, offset INT, length INT, id TEXT,"
            " PRIMARY KEY (archive, frame, offset, length, id)) WITHOUT ROWID"
        )

    def verdicts(
        self, only: str | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> Iterator[Verdict]:
        """Give a verdict for each archive; `only` the one of that name, and what it refers to.

        `progress` is told how many bytes of segments were read so far.

        Raises Away when the destination goes away meanwhile.
        """
        wanted = self._wanted(only)
        done = 0
        for held in wanted:
            self._open(held)
        self._db.execute("BEGIN")
        for archive in list(self._opened.values()):
            self._index(archive)
        self._db.execute("COMMIT")
        for held in wanted:
            verdict = self._verdicts[held.stored.name]
            if held.summary and held.summary.id in self._opened:
                for length in self._segments(self._opened[held.summary.id], verdict):
                    done += length
                    progress(done)
            yield verdict

    def _wanted(self, only: str | None) -> list[Held]:
        if only is None:
            return [held for held in self._catalog.held if not held.locked]
        [held] = [held for held in self._catalog.held if held.stored.name == only]
        needed = {other.id for other in held.summary.archives} if held.summary else set()
        return [
            other
            for other in self._catalog.held
            if other is held or (other.summary and other.summary.id in needed)
        ]

    def _open(self, held: Held) -> None:
        name = held.stored.name
        verdict = Verdict(
            held.summary.id[:8] if held.summary else name.rpartition("-")[2][:8],
            name,
            self._catalog.destination.name,
        )
        self._verdicts[name] = verdict
        try:
            archive = self._catalog.open(name, self._keys)
            len(archive.frames)  # reads and checks the table
        except VaultError as error:
            verdict.fault("damaged", str(error))
            return
        verdict.bytes_read += min(archive.size, 64 << 10)
        self._opened[archive.manifest.id] = archive
        for gone in missing(archive.manifest, self._catalog.standing):
            verdict.fault("missing", f"{gone}, which it refers to, is not there")

    def _index(self, archive: Archive) -> None:
        """Read the index, and note each chunk that it refers to."""
        verdict = self._verdicts[archive.name]
        read: list[int] = []

        def fetch(archive_id: str, number: int) -> bytes:
            segment = self._opened[archive_id].frame(number, b"i")
            read.append(self._opened[archive_id].place(number)[1])
            return segment

        insert = "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)"
        try:
            blocks = archive.manifest.index
            if unreachable := {b.chunk[1] for b in blocks} - self._opened.keys():
                verdict.fault("missing", f"its index is in {', '.join(sorted(unreachable))}")
                return
            rows = [(b.chunk[1], *b.chunk[2:], b.chunk[0]) for b in blocks]
            self._db.executemany(insert, rows)
            for entry in read_entries(blocks, fetch, archive.where):
                self._db.executemany(insert, [(c[1], *c[2:], c[0]) for c in entry.chunks])
        except VaultError as error:
            verdict.fault("damaged", str(error))
        finally:
            verdict.bytes_read += sum(read)

    def _segments(self, archive: Archive, verdict: Verdict) -> Iterator[int]:
        """Read segments, and prove every chunk that anything refers to in them; gives lengths."""
        count = len(archive.frames)
        chosen = set(range(count))
        if not self._deep:
            picks = [int.from_bytes(self._random(4)) for _ in range(SAMPLES)]
            chosen = {pick % count for pick in picks if count}
        for place in sorted(chosen, key=lambda place: archive.frames[place]):
            number = place + FIRST_SEGMENT
            verdict.bytes_read += archive.place(number)[1]
            yield archive.place(number)[1]
            try:
                _, plaintext = archive.any_frame(number)
            except VaultError as error:
                verdict.fault("damaged", str(error))
                continue
            view = memoryview(plaintext)
            rows = self._db.execute(
                "SELECT offset, length, id FROM chunks WHERE archive = ? AND frame = ?",
                (archive.manifest.id, number),
            )
            for offset, length, name in rows:
                chunk = view[offset : offset + length]
                if len(chunk) != length or chunk_id(self._keys.naming_key, chunk) != name:
                    verdict.fault("damaged", f"chunk {name} in frame {number} is not what it was")
