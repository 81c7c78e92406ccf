"""How commands present themselves: SERVICE, [BACKUP] and so on, as everybody writes them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from packrat.errors import Exit


class Command(TyperCommand):
    """A command whose arguments stand in the usage line, and are explained in its text."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Give what follows the command's name."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(str(argument.metavar) for argument in arguments)]


def misused(error: Any) -> Exit:
    """Say what of the command line is wrong, and how it should be; gives the exit status."""
    from packrat.text.report import complain

    usage = f"\n{error.ctx.get_usage()}" if getattr(error, "ctx", None) else ""
    complain(f"{error.format_message()}{usage}")
    return Exit.USAGE
