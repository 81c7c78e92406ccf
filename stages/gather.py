"""Comparison of what was collected with the parent; in reverse, writing it to the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.errors import SourceError
from stages.facts import Base, Job, RestoreJob, Selected, SourceReport, Written
from stages.items import Piece
from stages.restore_target.layout import Layout
from stages.restore_target.resume import Marker
from stages.restore_target.target import Target
from stages.restore_target.writer import Writer
from stages.source.previous_index import PreviousIndex
from stages.source.roots import Roots
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.run import Run

LOST_NAMED = 20
"""Most lost files that a message names."""


class Gather(Stage):
    """Stage between the files of a folder and their pieces."""

    kind: ClassVar[str] = "gather"
    backwards: ClassVar[str] = "write"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece
    needs: ClassVar[tuple[type, ...]] = (Job, Base, PreviousIndex, Roots, SourceReport)
    inverse_needs: ClassVar[tuple[type, ...]] = (RestoreJob, Layout, Selected, Target)
    inverse_provides: ClassVar[tuple[type, ...]] = (Written,)

    def forward(self, pieces: Iterator[Piece], run: Run) -> Iterator[Piece]:
        """Pass pieces on, then compare with the parent; raises SourceError.

        The empty mount point of a disk that is not mounted must not pass for a backup.
        """
        yield from pieces
        job, parent = run.fact(Job), run.fact(Base).parent
        roots, counted = run.fact(Roots), run.fact(SourceReport).files
        files, had = sum(counted.values()), parent.files if parent else 0
        for root in roots.roots:
            if had and counted.get(root.label) == 0:
                count = run.fact(PreviousIndex).files_below(root.label) if root.label else had
                _require_empty(root.folder, count)
        if files < had / 2:
            run.warn(
                f"{', '.join(roots.folders)} has {files} files, its last backup has {had}; no old"
                " backup is pruned until there is a normal one, or you accept this one with"
                f" packrat backup {job.service} --accept-shrink"
            )

    def inverse(self, pieces: Iterator[Piece], run: Run) -> Iterator[Any]:
        """Write pieces to their files below the target; raises TargetError and VaultError."""
        job, layout, selected = run.fact(RestoreJob), run.fact(Layout), run.fact(Selected)
        # the files that an interrupted restore has written are not written again
        run.whole = layout.size
        target = run.fact(Target)
        target.require_room(layout.sizes)
        target.make()
        with Writer(target, layout) as writer:
            writer.begin()
            for piece in pieces:
                run.advance(writer.write(piece), len(piece.data))
            writer.finish(run.check)
        files, size = selected.files + writer.files, selected.size + writer.size
        written_all = Written(files, size, writer.unset, (*writer.lost, *layout.left_out))
        if job.in_place and written_all.lost:
            raise VaultError(
                f"{lost_text(written_all, layout)}; so nothing was changed",
                f"packrat restore {job.service} --to DIR restores all the other files to a"
                " folder, and --backup takes an older backup",
            )
        run.provide(written_all)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:
        """Return what is compared, or written."""
        if backwards:
            return "files, then owners, modes and times"
        return "compare with the last backup"


def _require_empty(folder: str, had: int) -> None:
    """Raise SourceError if a folder without files had some in its last backup."""
    if had:
        raise SourceError(
            f"{folder} has no files, and its last backup has {had}",
            "is its disk mounted? If it is meant to be empty, put one file into it",
        )


def marker(job: RestoreJob) -> Marker:
    """Return the marker that stays in the target until its restore is complete."""
    return Marker(job.service, job.backup.id, job.paths)


def lost_text(written: Written, layout: Layout) -> str:
    """Return which files are lost, and why."""
    why = "; ".join(sorted(str(error) for error in layout.damage.values()))
    damaged = written.lost[: len(written.lost) - len(layout.left_out)]
    reasons = (
        (f"what they need is damaged at every destination ({why})", damaged),
        ("their names are too long for the target's filesystem", layout.left_out),
    )
    return "; ".join(_of_some(reason, names) for reason, names in reasons if names)


def _of_some(reason: str, names: Sequence[str]) -> str:
    count = len(names)
    more = f" and {count - LOST_NAMED:,} more" * (count > LOST_NAMED)
    lost = f"{count:,} file{'s' * (count != 1)} cannot be restored"
    return f"{lost}: {reason}: {', '.join(names[:LOST_NAMED])}{more}"
