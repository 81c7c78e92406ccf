"""`packrat sheet`: the recovery sheet of `packrat init`, printed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.text.recovery_sheet import recovery_sheet

if TYPE_CHECKING:
    from packrat.program import Program


def print_sheet(program: Program) -> None:
    """Print the sheet of the present key file and configuration."""
    print(recovery_sheet(program.config, program.keys))
