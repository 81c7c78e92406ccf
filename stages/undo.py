"""Undo: put back what the newest in-place restore replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.errors import SourceError
from stages.facts import Present, StateFolder
from stages.in_place.undo import newest_undoable, undo
from stages.reads import Reads  # noqa: TC001 (pydantic reads the annotations)
from stages.source.roots import HeldRoots, Roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Undo(Link):
    """Stage that exchanges the replaced files with what is there now, which is kept."""

    kind: ClassVar[str] = "undo"
    needs: ClassVar[tuple[type, ...]] = (Roots, HeldRoots, StateFolder)
    uses: ClassVar[tuple[Any, ...]] = (Present(),)

    service: str
    read: Reads

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then put everything back; raises TargetError."""
        yield from items
        state, roots = run.fact(StateFolder).path, run.fact(Roots)
        held = run.fact(HeldRoots)
        places = {root.label: held.place(root) for root in roots.roots if root.folder}
        records = newest_undoable(state, self.service)
        if records is None:
            raise SourceError(
                f"there is nothing to undo for {self.service}: no restore in place is recorded",
                f"packrat restore {self.service} --in-place restores another backup",
            )
        now = run.clock.now() / 1e9
        loads = run.fact(Present).loads
        done = undo(state, records, places, roots.patterns, roots.never, now, loads)
        for path in done.left:
            run.warn(f"left {path!r} untouched: something in it is excluded or belongs to packrat")
        for path in done.odd:
            kept = ", ".join(done.folders)
            run.warn(f"{path!r} is kept in {kept}: it is not what the restore left there")

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is put back."""
        return f"put back what the newest in-place restore replaced in {self.read.describe()}"
