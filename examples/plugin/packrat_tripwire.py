"""Tripwire: refuse a backup in which a ransom note or a clear-text secret appears."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from engine.stage import Stage
from stages.errors import SourceError
from stages.items import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run

NAMED = 10
"""Most files that a message names."""


class Tripwire(Stage):
    """Stage that checks the name and content of every new or changed file."""

    kind: ClassVar[str] = "tripwire"
    backwards: ClassVar[str] = "recheck"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece

    names: tuple[str, ...] = ()
    """Patterns of file names, for example `*.locked`."""
    text: tuple[str, ...] = ()
    """Texts in files, for example `BEGIN OPENSSH PRIVATE KEY`."""
    allow: int = Field(0, ge=0)
    """Number of files that may match."""

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not any(self.names) and not any(self.text):
            raise ValueError("needs names or text to look for")
        return self

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Pass pieces on; raises SourceError, so that nothing is published."""
        search = _Search(self)
        for piece in pieces:
            search.look(piece)
            if len(search.found) > self.allow:
                raise SourceError(
                    f"{search.summary()}, and {run.stage} allows {self.allow}",
                    "nothing was stored; find out who wrote them, or change the stage's settings",
                )
            yield piece

    def inverse(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Pass pieces on, and warn about matches: the backup may be older than the stage."""
        search = _Search(self)
        for piece in pieces:
            search.look(piece)
            yield piece
        if len(search.found) > self.allow:
            run.warn(f"{search.summary()}: look at them before you use what was restored")

    def describe(self, *, backwards: bool = False) -> str:
        """Return the names and texts that are searched for."""
        what = "warn of" if backwards else "refuse more than"
        return f"{what} {self.allow} files with {', '.join((*self.names, *self.text))}"


class _Search:
    """Search that also finds texts across two pieces of a file."""

    def __init__(self, stage: Tripwire) -> None:
        self.found: dict[str, None] = {}
        self._names = stage.names
        self._texts = [text.encode() for text in stage.text]
        self._overlap = max(map(len, self._texts), default=1) - 1
        self._tails: dict[str, tuple[int, bytes]] = {}
        """File -> (offset at which the next piece must begin, end of the previous piece)."""

    def look(self, piece: Piece) -> None:
        """Search one piece, or the names of files that have not changed."""
        if piece.kept:
            for entry in piece.kept.entries:
                self._look_at_name(entry.name)
            return
        name = piece.entry.name
        self._look_at_name(name)
        due, tail = self._tails.pop(name, (0, b""))
        data = bytes(piece.data) if piece.offset != due else tail + piece.data
        if any(text in data for text in self._texts):
            self.found[name] = None
        end = piece.offset + len(piece.data)
        if self._overlap and end < piece.entry.size:
            self._tails[name] = end, data[-self._overlap :]

    def summary(self) -> str:
        """Return which files match."""
        named = ", ".join(list(self.found)[:NAMED]) + ", …" * (len(self.found) > NAMED)
        return f"{len(self.found)} files match: {named}"

    def _look_at_name(self, name: str) -> None:
        if any(fnmatch(name.rpartition("/")[2], pattern) for pattern in self._names):
            self.found[name] = None
