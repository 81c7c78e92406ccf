"""Note about services that left the configuration, which commands for all services leave out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from packrat.text.report import say
from specs.secret import SecretFault

if TYPE_CHECKING:
    from packrat.program import Program


def note_left_out(program: Program, done: str, advice: str, source: str | None = None) -> None:
    """Print one line that names them, if there are any.

    `done` is what was not done with them. Only the destination `source` is asked, if it is given.
    """
    left = []
    with suppress(SecretFault):  # of a destination that the command did not need
        others = {name for name in program.destinations() if name != source} if source else ()
        left = program.adopt_all(others)
    if left:
        say(f"Not in the configuration, so not {done}: {', '.join(left)}; {advice}.")
