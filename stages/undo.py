"""Undo: put back what a restore in place set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link
from stages.in_place.kept import read_steps
from stages.in_place.swap import from_plain, to_plain
from stages.journal import Journal, Journaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.run import Run


class Undo(Link, Journaled):
    """Takes back every step that the restore took, then deletes what it had restored."""

    kind: ClassVar[str] = "undo"
    needs: ClassVar[tuple[type, ...]] = (Journal,)

    aside: str
    """The folder in which the restore set aside what was there."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass on what comes, then take the steps back; raises TargetError."""
        yield from items
        journal = run.fact(Journal)
        placement = read_steps(self.aside)
        journal.note(run.stage, self, to_plain(placement))
        placement.restore_old(keep_staged=False)
        journal.done(run.stage)

    def put_back(self, found: dict[str, Any], _: Callable[[Any], str]) -> str:
        """Go on where a dead run was cut off; raises TargetError."""
        placement = from_plain(found)
        placement.restore_old(keep_staged=False)
        return f"an undo died, and was brought to its end: {placement.path} is as it was before"

    def moves_files(self, _: dict[str, Any]) -> bool:
        """Say that it does."""
        return True

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say from where."""
        return f"put back what is in {self.aside}"
