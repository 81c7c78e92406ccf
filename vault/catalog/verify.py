"""Verification: prove what a destination has of a service, and report only what is proven."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vault.archive.check_entry import pieces_of
from vault.archive.check_index import IndexCheck, known_archives
from vault.archive.index import read_blocks, read_layout
from vault.archive.lists import ChunkLists
from vault.catalog.catalog import missing
from vault.catalog.contained import contained
from vault.catalog.prover import Depth, frames_to_read
from vault.catalog.references import References
from vault.catalog.statements import read_statement
from vault.catalog.verdict import Finding, Status, Verdict
from vault.errors import Away, Damaged, NotThere, VaultError, WrongKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from vault.archive.format import Reference
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog
    from vault.catalog.prover import Random, Step


END_BYTES = 64 << 10
"""Most bytes that opening an archive reads, for most archives."""
AWAY_IN_A_ROW = 2
"""Consecutive archives that a destination fails to deliver before the others are not attempted:
each attempt may take the whole time limit of the destination."""


class Verifier:
    """Prover of the archives of one service at one destination.

    A backup is proven whole: its ends, its index, its frames. A *base* is expired, but other
    backups may still need it. It is proven only as far as they refer to it, since what it refers to
    itself may have been deleted. Archives and indexes are read once, however often they are needed.
    """

    def __init__(
        self,
        catalog: Catalog,
        keys: Keys,
        depth: Depth,
        *,
        bases: Collection[str] = (),
        random: Random = os.urandom,
        step: Step = lambda _: None,
        scratch: str = "",
    ) -> None:
        """Verify a `catalog` listed without marks of earlier damage; `bases` are names of archives.

        `step` is called with the bytes read since the last call, which may be 0, and may raise to
        cancel. `scratch` is a folder for a temporary file. Raises VaultError if it is full.
        """
        self._catalog = catalog
        self._keys = keys
        self._depth = depth
        self._bases = frozenset(bases)
        self._random = random
        self._step = step
        self._references = References(scratch)
        self._findings = {item.name: Finding(item) for item in catalog.listed if not item.locked}
        self._users: defaultdict[str, list[str]] = defaultdict(list)
        """Archive id -> the backups that refer to it."""
        for name, finding in self._findings.items():
            if name not in self._bases and finding.listed.summary:
                for other in finding.listed.summary.archives:
                    self._users[other.id].append(name)
        self._names = {item.summary.id: item.name for item in catalog.listed if item.summary}
        self._standing = catalog.referable
        self._opened: dict[str, Archive | None] = {}
        self._indexed: set[str] = set()
        self._away = 0

    @property
    def gave_up(self) -> bool:
        """True once the destination has stopped answering, so that nothing more is attempted."""
        return self._away >= AWAY_IN_A_ROW

    def close(self) -> None:
        """Delete the temporary file."""
        self._references.close()

    def verify(self, names: Collection[str] | None = None) -> list[Verdict]:
        """Return a verdict for each archive, or for those of `names`, oldest first."""
        all_chosen = [name for name in self._findings if names is None or name in names]
        chosen = [n for n in all_chosen if n not in self._bases or self._referring(n)]
        for name in chosen:
            self._open(name)
        for name in chosen:
            if name in self._bases:
                for backup in self._referring(name):
                    self._read_index(backup)
            else:
                self._require_references(name)
                if self._depth is not Depth.FRAMES:
                    self._read_index(name)
        for name in chosen:
            self._read_frames(name)
        said = self._verify_statements() if names is None else []
        return self._verdicts(all_chosen) + said

    def _verify_statements(self) -> list[Verdict]:
        """Return a verdict for each statement of this key."""
        found = []
        for listed in self._catalog.statements:
            if listed.locked:
                continue
            finding = Finding(listed)
            if self.gave_up:
                self._not_attempted(finding)
            else:
                with self._recording_errors(finding):
                    store, service = self._catalog.destination, self._catalog.service
                    read_statement(store, service, listed.name, self._keys)
                    self._passed(finding, listed.stored.size)
            found.append(self._verdict(finding, pruned=False))
        return found

    def _open(self, name: str) -> Archive | None:
        """Open an archive once; None if that is impossible, which its finding records."""
        if name in self._opened:
            return self._opened[name]
        finding = self._findings[name]
        self._opened[name] = None
        if self.gave_up:
            self._not_attempted(finding)
            return None
        with self._recording_errors(finding):
            self._step(0)
            archive = self._catalog.open(name, self._keys)
            len(archive.frames)  # reads and checks the table
            self._passed(finding, min(archive.size, END_BYTES))
            self._opened[name] = archive
        return self._opened[name]

    def _require_references(self, name: str) -> None:
        finding = self._findings[name]
        archive = self._opened[name]
        summary = archive.manifest if archive else finding.listed.summary
        for gone in missing(summary, self._standing) if summary else ():
            other = self._findings.get(gone)
            # Without a summary, its own verdict says what is wrong.
            if other is None or other.listed.summary:
                finding.fault(Status.MISSING, f"{gone}, which it refers to, is missing")

    def _referring(self, base: str) -> list[str]:
        """Return the backups that refer to an archive."""
        summary = self._findings[base].listed.summary
        return self._users[summary.id] if summary else []

    def _read_index(self, name: str) -> None:
        """Read the index of a backup, and record each chunk that it refers to."""
        if name in self._indexed:
            return
        self._indexed.add(name)
        finding, archive = self._findings[name], self._open(name)
        if archive is None:
            return
        known = known_archives(archive.manifest)
        check = IndexCheck(archive.where, known, archive.manifest.roots)
        arrived: list[tuple[str, int]] = []

        def fetch(archive_id: str, number: int) -> bytes:
            """Read an index frame; called by several threads, each for another archive."""
            other = self._names.get(archive_id, "")
            source = self._open(other) if other else None
            if source is None:  # which has already been recorded in its own finding
                raise _BlockedError(other)
            try:
                with contained(self._catalog.destination):
                    segment = source.frame(number, b"i")
            except VaultError as error:
                self._findings[other].failed(error)
                raise _BlockedError(other) from error
            arrived.append((other, source.position(number)[1]))
            return segment

        with self._recording_errors(finding), suppress(_BlockedError):
            lists = ChunkLists(fetch, archive.where, known)
            layout = archive.manifest.index
            self._references.add(layout)
            self._open_all(layout)
            blocks = read_layout(layout, fetch, archive.where)
            self._open_all(block.chunk for block in blocks)
            for block, entries in read_blocks(blocks, fetch, archive.where):
                for entry in entries:
                    check.check(entry)
                    if entry.lists:
                        self._references.add(entry.lists)
                        chunks = lists.references(entry)
                        self._references.add(chunk for chunk, _ in pieces_of(entry, chunks))
                self._references.add([block.chunk, *(c for e in entries for c in e.chunks)])
                self._step(0)
            check.check_totals(archive.manifest)
        for other, length in arrived:
            self._passed(self._findings[other], length)

    def _open_all(self, places: Iterable[Reference]) -> None:
        """Open archives before several threads read them."""
        for archive_id in dict.fromkeys(place[1] for place in places):
            if archive_id in self._names:
                self._open(self._names[archive_id])

    def _read_frames(self, name: str) -> None:
        """Read frames, and compare every chunk in them that anything refers to with its id."""
        archive, finding = self._opened[name], self._findings[name]
        if archive is None or finding.stopped:
            return
        if self.gave_up:
            self._not_attempted(finding)
            return
        id_, base = archive.manifest.id, name in self._bases
        needed = self._references.frames(id_)
        numbers: list[int] = []
        with self._recording_errors(finding):
            numbers = frames_to_read(archive, self._depth, self._random, needed if base else None)
            for number in needed:
                archive.position(number)  # raises Damaged for a reference to nothing
        for number in numbers:
            self._passed(finding, archive.position(number)[1])
            with self._recording_errors(finding):
                _, plaintext = archive.any_frame(number)
                for chunk in self._references.wrong(id_, number, plaintext, self._keys.naming_key):
                    problem = f"chunk {chunk} in frame {number} is not what it was"
                    finding.fault(Status.DAMAGED, problem)
            if finding.stopped:
                return

    def _verdicts(self, chosen: list[str]) -> list[Verdict]:
        """Form the verdicts; archives that are no longer listed were pruned meanwhile."""
        pruned: set[str] = set()
        if any(finding.gone for finding in self._findings.values()):
            with suppress(VaultError), contained(self._catalog.destination):
                now = self._catalog.destination.archives(self._catalog.service)
                pruned = self._findings.keys() - {one.name for one in now}
        for name in chosen:
            finding = self._findings[name]
            if finding.listed.summary and name not in self._bases | pruned:
                for other in finding.listed.summary.archives:
                    if other.name in pruned:
                        problem = f"{other.name}, which it refers to, no longer exists"
                        finding.fault(Status.MISSING, problem)
        return [self._verdict(self._findings[name], pruned=name in pruned) for name in chosen]

    def _verdict(self, finding: Finding, *, pruned: bool) -> Verdict:
        name = finding.listed.name
        return Verdict(
            name.rpartition(".")[0].rpartition("-")[2],
            finding.listed.stored,
            self._catalog.destination.name,
            Status.PRUNED if pruned else finding.status,
            () if pruned else tuple(finding.problems),
            finding.bytes_read,
            name in self._bases,
        )

    @contextmanager
    def _recording_errors(self, finding: Finding) -> Iterator[None]:
        """Record the error with which reading an archive ends as a finding."""
        try:
            with contained(self._catalog.destination):
                yield
        except (Damaged, NotThere, WrongKey) as error:
            finding.failed(error)
            self._away = 0
        except Away as error:
            finding.failed(error)
            self._away += 1
        else:
            self._away = 0

    def _not_attempted(self, finding: Finding) -> None:
        where = self._catalog.destination.name
        finding.fault(Status.UNREADABLE, f"{where} stopped answering, so this was not read")

    def _passed(self, finding: Finding, length: int) -> None:
        finding.bytes_read += length
        self._step(length)


class _BlockedError(VaultError):
    """Error of an index that is unreadable because of another archive, whose finding says why."""
