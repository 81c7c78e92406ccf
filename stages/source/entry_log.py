"""Entries in the order of a walk, in an unnamed file on disk, and found again in that order."""

from __future__ import annotations

import tempfile

import msgspec

from vault.archive.format import Entry, encode, order

_decode = msgspec.json.Decoder(Entry).decode


class EntryLog:
    """Log that is written first, then read once, by paths in the same order."""

    def __init__(self, scratch: str = "") -> None:
        """Create the file in the folder `scratch`, by default the system's for temporary files."""
        folder = scratch or None
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (lives as long as the log)
        self._reading = False
        self._next: Entry | None = None

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self._file.write(encode(entry) + b"\n")

    def find(self, path: str) -> Entry | None:
        """Return the entry of a path; earlier entries are skipped for good."""
        if not self._reading:
            self._reading = True
            self._file.seek(0)
            self._advance()
        here = order(path)
        while self._next is not None and order(self._next.name) < here:
            self._advance()
        return self._next if self._next is not None and self._next.name == path else None

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _advance(self) -> None:
        line = self._file.readline()
        self._next = _decode(line) if line else None
