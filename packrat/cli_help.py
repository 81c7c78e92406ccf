"""Usage lines and usage errors of the commands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from packrat.errors import Exit


class Command(TyperCommand):
    """Command whose arguments appear in the usage line, and are explained in its help text."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line after the command's name."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(str(argument.metavar) for argument in arguments)]


def misused(error: Any) -> Exit:
    """Print a usage error with the usage line; return the exit status."""
    from packrat.text.report import print_error

    usage = f"\n{error.ctx.get_usage()}" if getattr(error, "ctx", None) else ""
    print_error(f"{error.format_message()}{usage}")
    return Exit.USAGE
