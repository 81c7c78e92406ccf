"""Packing: put new chunks into segments, refer to known ones, write the index and manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import structs

from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import Base, Job, ScratchFolder, SourceReport
from stages.items import Chunk, Kept, Segment
from stages.packing.file_chunks import FileChunks
from stages.packing.index_writer import IndexWriter
from stages.packing.segments import Segments
from stages.restore_target.layout import stretches_of
from stages.source.entry_log import EntryLog
from stages.source.previous_index import PreviousIndex
from stages.source.roots import Roots
from vault.archive.admission import Admission
from vault.archive.chunks import KnownChunks
from vault.archive.format import MANIFEST, Manifest, Reference, Referred, encode
from vault.archive.header import VERSION
from vault.archive.keys import Keys
from vault.archive.usage import Usage
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.run import Run
    from vault.archive.format import Entry


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
        Roots,
        SourceReport,
        Keys,
        ScratchFolder,
    )
    provides: ClassVar[tuple[type, ...]] = (Manifest,)

    def forward(self, chunks: Iterator[Chunk], run: Run) -> Iterator[Segment]:
        """Yield segments as they fill, data and index in turns, and the manifest at the end."""
        packing = _Packing(run)
        try:
            for chunk in chunks:
                packing.add(chunk)
                yield from packing.segments.take()
            packing.finish()
            yield from packing.segments.take()
            manifest = packing.manifest(run.fact(SourceReport))
            run.provide(manifest)
            yield Segment(manifest.id, MANIFEST, b"m", (encode(manifest),))
        finally:
            packing.close()
        run.advance(packing.entries, packing.segments.payload)

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
                yield Chunk(s.entry, s.at, data, s.whole, id=s.id)


class _Packing:
    """State of one archive while it is packed."""

    def __init__(self, run: Run) -> None:
        self.job, self.base, self.warn = run.fact(Job), run.fact(Base), run.warn
        self.previous, self.roots = run.fact(PreviousIndex), run.fact(Roots).roots
        index, own, usable = self.previous, self.job.own, self.base.usable
        naming_key, scratch = run.fact(Keys).naming_key, run.fact(ScratchFolder).folder
        self.early = EntryLog(scratch)
        """Files of the warm pass, with their chunks."""
        self.dumps: dict[str, Entry] = {}
        self.segments = Segments(own)
        self.usage = Usage(own)
        self.chunks = KnownChunks(lambda: self._usable(index.references()), scratch)
        self.lists = KnownChunks(lambda: self._usable(index.chunk_lists()), scratch)
        self.file_chunks = FileChunks(
            self.segments, self.usage, self.chunks, self.lists, usable, naming_key, own
        )
        self.index = IndexWriter(self.segments, self.usage, index, usable, naming_key)
        self.block_lists: list[Reference] = []
        self.admission = Admission(own, self.roots)
        self.entries = self.files = self.size = self.read = self.refused = 0

    def add(self, chunk: Chunk) -> None:
        if chunk.kept:
            self._keep_block(chunk.kept)
            return
        entry = chunk.entry
        if chunk.again:  # not new lists: other names of the file share them
            entry.chunks.clear()
            entry.lists.clear()
        if chunk.id:
            self.read += len(chunk.data)
            self.file_chunks.add(entry, chunk.id, chunk.data)
        if chunk.stored:
            early = self.dumps.pop(entry.name, None) or self.early.find(entry.name)
            assert early is not None, f"{entry.name!r} was not read early"
            entry.chunks.extend(early.chunks)
            entry.lists.extend(early.lists)
            entry.average = early.average
        if chunk.last:
            self.file_chunks.finish(entry)
            if chunk.early and entry.type == "stream":  # in no order, but few
                self.dumps[entry.name] = entry
            elif chunk.early:
                self.early.add(entry)
            elif admitted := self._admit(entry):
                self._add(admitted)

    def finish(self) -> None:
        """Complete the open segments."""
        self.segments.close(b"d")
        self.block_lists = self.index.finish()

    def close(self) -> None:
        """Delete the temporary data on disk."""
        self.early.close()
        self.chunks.close()
        self.lists.close()

    def _admit(self, entry: Entry) -> Entry | None:
        """Return a complete entry as it is stored; None if no restore could accept it."""
        admitted, wrong = self.admission.admit(entry)
        if wrong is not None and entry.type == "stream":
            raise SourceError(f"the dump {entry.name!r} cannot be stored: it {wrong}", "rename it")
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
        self.index.add(entry)

    def _keep_block(self, kept: Kept) -> None:
        """Refer to a whole block of the parent's index where the block boundaries coincide."""
        entries = [
            self.file_chunks.keep(admitted, self.previous.lists) if admitted.lists else admitted
            for entry in kept.entries
            if (admitted := self._admit(entry))
        ]
        if kept.block and entries == kept.entries and self.index.keep(kept.block):
            for entry in entries:
                for reference in entry.chunks:
                    self.usage.add(reference)
            self.entries += len(entries)
            self.files += kept.files
            self.size += kept.size
        else:
            for entry in entries:
                self._add(entry)

    def _usable(self, references: Iterable[Reference]) -> Iterable[Reference]:
        """Return those references of the parent that this archive may use as well."""
        return (one for one in references if one[1] in self.base.usable)

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
            **structs.asdict(base.lineage),
            format=VERSION,
            id=self.job.own,
            service=self.job.service,
            host=self.job.host,
            time=base.time,
            kind="incremental" if used else "full",
            barrier=source.barrier,
            roots=[root.stored for root in self.roots],
            entries=self.entries,
            files=self.files,
            size=self.size,
            read=self.read,
            payload=self.segments.payload,
            missed=source.missed + self.refused,
            normal=self._normal_totals(),
            archives=[
                Referred(archive, base.usable[archive].name, base.usable[archive].size, count)
                for archive, count in sorted(used.items())
            ],
            index=self.block_lists,
        )
