"""Selection, where a restore begins: lay out what it needs of a backup."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.facts import RestoreJob, ScratchFolder, Selected
from stages.replicas import Replicas
from stages.restore_target.layout import Layout
from stages.restore_target.resume import Standing
from stages.restore_target.selection import Selection
from stages.restore_target.target import Target
from stages.waiting import work_on
from vault.archive.index import blocks_of, read_entries, read_layout
from vault.archive.keys import Keys
from vault.archive.lists import ChunkLists
from vault.errors import NotThere

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from engine.run import Run
    from vault.archive.format import Reference


class Select(Stage):
    """Stage that reads the index of one backup."""

    kind: ClassVar[str] = "select"
    needs: ClassVar[tuple[type, ...]] = (RestoreJob, Replicas, Keys, Target, ScratchFolder)
    provides: ClassVar[tuple[type, ...]] = (Layout, Selected)

    paths: tuple[str, ...] = ()
    """Paths to restore, with everything below them; everything if empty."""

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Any]:
        """Provide the layout; raises NotThere if a path is not in the backup."""
        job = run.fact(RestoreJob)
        layout = Layout(run.fact(ScratchFolder).folder, job.where, job.backup.roots)
        run.open(layout, layout.close)
        self._lay_out(layout, run)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is selected."""
        return ", ".join(self.paths) or "everything"

    def _lay_out(self, layout: Layout, run: Run) -> None:
        job, replicas = run.fact(RestoreJob), run.fact(Replicas)

        def fetch(archive_id: str, number: int) -> bytes:
            return replicas.index(archive_id, number, run.check)

        def open_all(places: Iterable[Reference]) -> None:
            for _ in replicas.opened((place[1] for place in places), run.check):
                work_on(run)

        open_all(job.backup.index)
        blocks = read_layout(job.backup.index, fetch, job.where)
        index = blocks_of(blocks, self.paths) if self.paths else blocks
        open_all(block.chunk for block in index)
        lists = ChunkLists(fetch, job.where)
        target = run.fact(Target)
        selection, most = Selection(self.paths), target.name_bytes()
        found: set[str | None] = set()
        interrupted = target.trees if target.look() else {}
        with closing(Standing(interrupted, run.fact(Keys).naming_key)) as already:
            for entry in read_entries(index, fetch, job.where):
                name = entry.name
                if not _fits(name, most):
                    layout.leave_out(entry)
                    found.add(selection.of(name))
                elif (path := selection.of(name)) is not None:
                    chunks = lists.references(entry)
                    is_written = layout.is_first(entry) and already.has(entry, chunks)
                    layout.add(entry, lists.references(entry), stands=is_written)
                    run.advance(1, entry.size)
                    found.add(path)
                elif name in selection.above and entry.type == "dir":
                    layout.add(entry)
                run.check()
            if not self.paths:
                layout.require_complete(job.backup)
            layout.complete(replicas.name)
            run.provide(Selected(already.files, already.size))
        require_found(job.service, replicas.name(job.backup.id), self.paths, found)


def _fits(path: str, most: int) -> bool:
    """Return whether no name in a path has more than `most` bytes."""
    return len(path) * 4 <= most or all(
        len(name.encode("utf-8", "surrogateescape")) <= most for name in path.split("/")
    )


def require_found(
    service: str, archive: str, paths: Sequence[str], found: Collection[str | None]
) -> None:
    """Raise NotThere if an archive has nothing at some of the paths."""
    if absent := [path for path in paths if path not in found]:
        raise NotThere(
            f"{archive} has no {', '.join(map(repr, absent))}",
            f"packrat ls {service} lists its files",
        )
