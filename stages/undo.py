"""Undo: put back what the newest in-place restore replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.errors import SourceError
from stages.facts import StateFolder
from stages.in_place.undo import newest_undoable, undo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Undo(Link):
    """Stage that exchanges the replaced files with what is there now, which is kept."""

    kind: ClassVar[str] = "undo"
    needs: ClassVar[tuple[type, ...]] = (StateFolder,)

    service: str
    path: str
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Folders inside `path` that belong to packrat: destinations, spool, state."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then put everything back; raises TargetError."""
        yield from items
        state = run.fact(StateFolder).path
        record = newest_undoable(state, self.service)
        if record is None:
            raise SourceError(
                f"there is nothing to undo for {self.service}: no restore in place is recorded",
                f"packrat restore {self.service} --in-place restores another backup",
            )
        now = run.clock.now() / 1e9
        done = undo(state, record, self.path, self.exclude, self.never, now)
        for path in done.left:
            run.warn(f"left {path!r} untouched: something in it is excluded or belongs to packrat")
        for path in done.odd:
            run.warn(f"{path!r} is kept in {done.folder}: it is not what the restore left there")

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is put back."""
        return f"put back what the newest in-place restore of {self.path} replaced"
