"""Packing: put new chunks into segments, refer to known ones, write the index and manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.stage import Stage
from stages.facts import Base, Job, ScratchFolder, SourceReport
from stages.items import Chunk, Kept, Segment
from stages.restore_target.layout import stretches_of
from stages.source.entry_log import EntryLog
from stages.source.previous_index import PreviousIndex
from vault.archive.admission import Admission
from vault.archive.chunks import KnownChunks, chunk_id
from vault.archive.format import (
    FIRST_SEGMENT,
    MANIFEST,
    SEGMENT_BYTES,
    Block,
    Manifest,
    Reference,
    Referred,
    encode,
)
from vault.archive.index import BlockCutter, Usage
from vault.archive.keys import Keys
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.run import Run
    from vault.archive.format import Entry, Kind


class Pack(Stage):
    """Stage that puts many small files into a segment: a better ratio and far fewer calls."""

    kind: ClassVar[str] = "pack"
    backwards: ClassVar[str] = "unpack"
    takes: ClassVar[type | None] = Chunk
    gives: ClassVar[type | None] = Segment
    needs: ClassVar[tuple[type, ...]] = (
        Job,
        Base,
        PreviousIndex,
        SourceReport,
        Keys,
        ScratchFolder,
    )
    provides: ClassVar[tuple[type, ...]] = (Manifest,)

    def forward(self, chunks: Iterator[Chunk], run: Run) -> Iterator[Segment]:
        """Yield segments as they fill, data and index in turns, and the manifest at the end."""
        job, base = run.fact(Job), run.fact(Base)
        index, naming_key = run.fact(PreviousIndex), run.fact(Keys).naming_key
        scratch = run.fact(ScratchFolder).folder
        packing = _Packing(job, base, index, naming_key, scratch, run.warn)
        try:
            for chunk in chunks:
                packing.add(chunk)
                if packing.full:
                    yield from packing.take()
            packing.finish()
            yield from packing.take()
            manifest = packing.manifest(run.fact(SourceReport))
            run.provide(manifest)
            yield Segment(job.own, MANIFEST, b"m", (encode(manifest),))
        finally:
            packing.close()
        run.advance(packing.entries, packing.payload)

    def inverse(self, segments: Iterator[Segment], run: Run) -> Iterator[Chunk]:  # noqa: ARG002
        """Cut the required chunks out of each segment; raises Damaged."""
        for segment in segments:
            view = memoryview(segment.data[0])
            start = end = -1
            for s in stretches_of(segment.wanted):
                # the same stretch of several files is one piece
                if (s.start, s.end) != (start, end):
                    start, end = s.start, s.end
                    if end > len(view):
                        raise Damaged(segment.archive, f"frame {segment.number} is too short")
                    data = view[start:end]
                yield Chunk(s.entry, s.id, s.at, data, s.whole)


class _Open:
    """Segment that is being filled."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.number = -1
        self.size = 0
        self.data: list[bytes | memoryview] = []


class _Packing:
    """State of one archive while it is packed."""

    def __init__(
        self,
        job: Job,
        base: Base,
        index: PreviousIndex,
        naming_key: bytes,
        scratch: str,
        warn: Callable[[str], None],
    ) -> None:
        self.job, self.base, self.index, self.naming_key = job, base, index, naming_key
        self.warn = warn
        self.own = job.own
        self.early = EntryLog(scratch)
        """Files of the warm pass, with their chunks."""
        self.numbers = FIRST_SEGMENT
        self.open: dict[Kind, _Open] = {b"d": _Open(b"d"), b"i": _Open(b"i")}
        self.full: list[Segment] = []
        self.known = KnownChunks(self._parent_references, scratch)
        self.usage = Usage(self.own)
        self.admission = Admission(self.own)
        self.cutter = BlockCutter()
        self.blocks: list[Block] = []
        self.known_blocks: dict[str, Reference] = {}
        if base.parent:
            blocks = [block.chunk for block in base.parent.index]
            self.known_blocks = {c[0]: c for c in blocks if c[1] in base.usable}
        self.entries = self.files = self.size = self.read = self.payload = self.refused = 0

    def take(self) -> list[Segment]:
        """Return the segments that are full, and forget them."""
        full, self.full = self.full, []
        return full

    def add(self, chunk: Chunk) -> None:
        if chunk.kept:
            self._keep_block(chunk.kept)
            return
        entry = chunk.entry
        if chunk.again:
            entry.chunks.clear()  # not a new list: other names of the file share it
        if chunk.id:
            self.read += len(chunk.data)
            reference = self.known.find(chunk.id)
            if reference is None:
                reference = self._store(b"d", chunk.id, chunk.data)
                self.known.add(reference)
            entry.chunks.append(reference)
        if chunk.stored:
            early = self.early.find(entry.name)
            assert early is not None, f"{entry.name!r} was not read early"
            entry.chunks.extend(early.chunks)
        if chunk.last and chunk.early:
            self.early.add(entry)
        elif chunk.last:
            self._add_entry(entry)

    def finish(self) -> None:
        """Complete the open segments."""
        self._store_block(self.cutter.flush())
        for segment in self.open.values():
            if segment.size:
                self._close(segment)

    def close(self) -> None:
        """Delete the temporary data on disk."""
        self.early.close()
        self.known.close()

    def _add_entry(self, entry: Entry) -> None:
        """Add a complete entry to the index, unless no restore could accept it."""
        if admitted := self._admit(entry):
            self._add(admitted)

    def _admit(self, entry: Entry) -> Entry | None:
        admitted, wrong = self.admission.admit(entry)
        if wrong is not None:
            self.refused += 1
            self.warn(f"{entry.name!r} is not in this backup: it {wrong}")
            return None
        if admitted is not entry:
            self.warn(
                f"{entry.name!r} has the inode of a file that changed or was deleted during the"
                " backup: a restore makes it a file of its own"
            )
        return admitted

    def _add(self, entry: Entry) -> None:
        for reference in entry.chunks:
            self.usage.add(reference)
        self.entries += 1
        if entry.type != "dir":
            self.files += 1
            self.size += entry.size
        self._store_block(self.cutter.add(entry))

    def _keep_block(self, kept: Kept) -> None:
        """Refer to a whole block of the parent's index where the block boundaries coincide."""
        block = kept.block
        entries = [admitted for entry in kept.entries if (admitted := self._admit(entry))]
        whole = block is not None and entries == kept.entries and self.cutter.empty
        if not whole or block is None or block.chunk[0] not in self.known_blocks:
            for entry in entries:
                self._add(entry)
            return
        for entry in kept.entries:
            for reference in entry.chunks:
                self.usage.add(reference)
        self.entries += len(kept.entries)
        self.files += kept.files
        self.size += kept.size
        self.usage.add(block.chunk)
        self.blocks.append(block)

    def _store_block(self, full: tuple[bytes, Block] | None) -> None:
        """Store a block of the index, unless the parent has the same."""
        if full is None:
            return
        data, block = full
        name = chunk_id(self.naming_key, data)
        reference = self.known_blocks.get(name)
        if reference is None:
            reference = self._store(b"i", name, data)
        self.usage.add(reference)
        block.chunk = reference
        self.blocks.append(block)

    def _store(self, kind: Kind, name: str, data: bytes | memoryview) -> Reference:
        """Append to the open segment, or to a new one if it would get too large."""
        segment = self.open[kind]
        if segment.size and segment.size + len(data) > SEGMENT_BYTES:
            self._close(segment)
            segment = self.open[kind]
        if segment.number < 0:
            segment.number = self.numbers
            self.numbers += 1
        reference = (name, self.own, segment.number, segment.size, len(data))
        segment.data.append(data)
        segment.size += len(data)
        self.payload += len(data)
        return reference

    def _close(self, segment: _Open) -> None:
        self.open[segment.kind] = _Open(segment.kind)
        self.full.append(Segment(self.own, segment.number, segment.kind, tuple(segment.data)))

    def _parent_references(self) -> Iterable[Reference]:
        """Return every reference of the parent that this archive may use as well."""
        return (one for one in self.index.references() if one[1] in self.base.usable)

    def _normal_totals(self) -> tuple[int, int]:
        """Return the files and bytes with which the next backup is compared."""
        parent = self.base.parent
        if parent and not self.job.accept_shrink:
            files, size = parent.normal
            if self.files < files / 2 or self.size < size / 2:
                return files, size
        return self.files, self.size

    def manifest(self, source: SourceReport) -> Manifest:
        """Return the manifest; everything else is packed by now."""
        base, used = self.base, self.usage.by_archive()
        return Manifest(
            id=self.own,
            service=self.job.service,
            host=self.job.host,
            time=base.time,
            kind="incremental" if used else "full",
            parent=base.parent_name,
            barrier=source.barrier,
            source=source.path,
            entries=self.entries,
            files=self.files,
            size=self.size,
            read=self.read,
            payload=self.payload,
            missed=source.missed + self.refused,
            normal=self._normal_totals(),
            archives=[
                Referred(archive, base.usable[archive].name, base.usable[archive].size, count)
                for archive, count in sorted(used.items())
            ],
            index=self.blocks,
        )
