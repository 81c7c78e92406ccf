"""Undo: put back what a restore in place set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from stages.in_place.kept import read_steps
from stages.in_place.swap import from_plain, to_plain
from stages.journal import Journaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.run import Run
    from stages.session import Session


class Undo(Journaled):
    """Takes back every step that the restore took, then deletes what it had restored."""

    kind: ClassVar[str] = "undo"

    aside: str
    """The folder in which the restore set aside what was there."""

    def forward(self, _: Iterator[Any], run: Run[Session]) -> Iterator[Any]:
        """Take the steps back; raises TargetError."""
        placement = read_steps(self.aside)
        run.context.journal.note(run.stage, self, to_plain(placement))
        placement.restore_old(keep_staged=False)
        run.context.journal.done(run.stage)
        yield from ()

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
