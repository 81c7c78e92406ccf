"""Proof that the dumps of databases in the newest backup at one destination can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.databases.any import engine_of
from stages.databases.proof import NoProgram, NotProven, UnsoundDump
from stages.facts import DumpsProven, Holdings, Verified
from stages.replicas import Replicas
from stages.source.roots import DUMP
from vault.archive.keys import Keys
from vault.archive.lookup import BlockCache
from vault.archive.segments import SegmentCache
from vault.archive.tree import Tree
from vault.catalog.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from vault.archive.contents import Contents
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog

BLOCK_BYTES = 1 << 20


class ProveDumps(Link):
    """Stage that lets the programs of the engines read stored dumps. It loads nothing."""

    kind: ClassVar[str] = "prove_dumps"
    needs: ClassVar[tuple[type, ...]] = (Keys, Holdings, Verified)
    provides: ClassVar[tuple[type, ...]] = (DumpsProven,)

    destination: str
    backup: str | None = None
    """File name of the backup; None for the newest."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then provide which dumps are unsound; raises VaultError."""
        yield from items
        good = {one.name for one in run.fact(Verified).verdicts if one.status is Status.GOOD}
        catalog = run.fact(Holdings).at(self.destination)
        names = [item.stored.name for item in catalog.backups]
        name = self.backup or (names[-1] if names else "")
        unsound: dict[str, str] = {}
        if name in good and name in names:
            unsound = self._unsound(catalog, name, run)
        run.provide(DumpsProven(self.destination, name, unsound))

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is read."""
        return f"dumps of PostgreSQL in {self.backup or 'the newest backup'} at {self.destination}"

    def _unsound(self, catalog: Catalog, name: str, run: Run) -> dict[str, str]:
        """Return path -> what is wrong, for each dump that cannot be read."""
        backup = _Stored(catalog, name, run)
        tree = Tree(backup, SegmentCache(), BlockCache())
        found = {}
        for root in backup.manifest.roots:
            engine = engine_of(root.source)
            if root.kind != DUMP or engine is None:
                continue
            for entry in tree.lookup.children(root.label):
                if entry.type == "dir" or not engine.has_proof(entry.name):
                    continue
                pieces = _pieces(tree.contents(entry), run)
                try:
                    engine.prove(entry.name, pieces, run.check)
                except UnsoundDump as error:
                    found[entry.name] = str(error)
                except NotProven as error:
                    where = f"{catalog.service} {backup.manifest.id[:8]} at {self.destination}"
                    run.warn(f"{where}: {entry.name!r} was not read through: {error}; {error.hint}")
                    if isinstance(error, NoProgram):
                        break
        return found


class _Stored:
    """Backup at one destination."""

    def __init__(self, catalog: Catalog, name: str, run: Run) -> None:
        self.keys, self._run = run.fact(Keys), run
        archive: Archive = catalog.open(name, self.keys, run.check)
        self.where, self.manifest = archive.where, archive.manifest
        self._replicas = Replicas(archive, [catalog], self.keys)

    def segment(self, is_index: bool, archive_id: str, number: int) -> bytes:  # noqa: FBT001
        """Return the plaintext of a segment; raises VaultError."""
        read = self._replicas.index if is_index else self._replicas.data
        return read(archive_id, number, self._run.check)


def _pieces(contents: Contents, run: Run) -> Iterator[bytes]:
    at = 0
    while piece := contents.read(at, BLOCK_BYTES):
        at += len(piece)
        run.advance(0, len(piece))
        yield piece
