"""Dumps of databases, taken while everything runs; in reverse, the load of restored dumps."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import structs

from engine.stage import Link
from stages.databases.any import AnyDatabase  # noqa: TC001 (pydantic reads the annotations)
from stages.databases.base import Tools
from stages.errors import TargetError
from stages.facts import CommandLog, Dumped, Present, Secrets, StateFolder
from stages.in_place.loads import load_databases, note_failed, unloaded
from stages.items import Piece
from stages.journal import Journal
from vault.archive.format import Entry, order, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run

BLOCK_BYTES = 4 << 20
MODE = 0o600
FOLDER_MODE = 0o700


class DumpStage(Link):
    """Stage that dumps databases. Nothing is published unless every dump is whole."""

    kind: ClassVar[str] = "dump"
    backwards: ClassVar[str] = "load"
    needs: ClassVar[tuple[type, ...]] = (Secrets, CommandLog)
    provides: ClassVar[tuple[type, ...]] = (Dumped,)
    inverse_needs: ClassVar[tuple[type, ...]] = (
        Secrets,
        CommandLog,
        StateFolder,
        Journal,
        Present,
    )

    databases: tuple[AnyDatabase, ...]

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Pass on what was read before, then read the dumps; raises SourceError."""
        yield from pieces
        tools = Tools(run.fact(Secrets).text, run.fact(CommandLog), run.check)
        entries = {}
        for database in self.databases:
            now = run.clock.now()
            stored = [_entry(database.label, now, "dir", FOLDER_MODE)]
            for file in database.files(tools):
                size = 0
                entry = _entry(f"{database.label}/{file}", now)
                for data, last in _blocks(database.dump(file, tools)):
                    at, size = size, size + len(data)
                    if last:
                        entry.size = size
                    yield Piece(entry, at, data, last, early=True)
                    run.advance(int(last), len(data))
                stored.append(_entry(entry.name, now, size=size))
            entries[database.label] = (stored[0], *sorted(stored[1:], key=lambda e: order(e.name)))
        run.provide(Dumped(entries))

    def inverse(self, pieces: Iterator[Any], run: Run) -> Iterator[Any]:
        """Load the dumps that were exchanged for those of the present state; raises SourceError."""
        state, service = run.fact(StateFolder).path, run.fact(Journal).service
        try:
            yield from pieces
            run.fact(Present)  # nothing is replaced unless it was dumped
            tools = Tools(run.fact(Secrets).text, run.fact(CommandLog), run.check)
            load_databases(state, service, tools, lambda size: run.advance(1, size))
        except BaseException as error:
            # The containers are started now, so the next command must not load anything.
            with suppress(TargetError):
                note_failed(state, unloaded(state, service), error)
            raise

    def describe(self, *, backwards: bool = False) -> str:
        """Return what is dumped, or loaded."""
        named = ", ".join(database.where for database in self.databases)
        if backwards:
            return f"{named}, each database for itself"
        return (
            f"{named}: each database is consistent for itself, not with the others or the files;"
            " their data folders are not read"
        )


def _entry(name: str, now: int, kind: Any = "stream", mode: int = MODE, size: int = 0) -> Entry:
    plain, encoded = text(name)
    return structs.replace(
        Entry(type=kind, mode=mode, uid=os.geteuid(), gid=os.getegid(), mtime=now, size=size),
        path=plain,
        path64=encoded,
    )


def _blocks(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield large blocks, each with whether it is the last: Docker sends 32 KiB at a time."""
    held = bytearray()
    for piece in pieces:
        if len(held) >= BLOCK_BYTES:
            yield bytes(held), False
            held.clear()
        held += piece
    yield bytes(held), True
