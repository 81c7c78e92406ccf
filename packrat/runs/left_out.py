"""Note about services that left the configuration, which commands for all services leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.text.report import say

if TYPE_CHECKING:
    from packrat.program import Program


def note_left_out(program: Program, done: str, advice: str, source: str | None = None) -> None:
    """Print one line that names them, if there are any.

    `done` is what was not done with them. Only the destination `source` is asked, if it is given.
    """
    others = {name for name in program.destinations() if name != source} if source else ()
    if left := program.adopt_all(others):
        say(f"Not in the configuration, so not {done}: {', '.join(left)}; {advice}.")
