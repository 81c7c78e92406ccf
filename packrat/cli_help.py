"""Help texts, usage lines and usage errors of the commands."""

from __future__ import annotations

import textwrap
from typing import Any

from typer.core import TyperCommand, TyperGroup

from packrat.errors import INTERRUPTED, Exit, Interrupted, UsageError

PANELS = ("Set up", "Back up", "Look", "Recover", "Keep", "Help")
"""Headings of the list of commands, in their order."""


class Command(TyperCommand):
    """Command whose arguments appear in the usage line, and are explained in its help text."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._arguments: list[Any] = [p for p in self.params if p.param_type_name == "argument"]
        for argument in self._arguments:
            argument.hidden = True  # they have no list of their own

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the parts of the usage line after the command's name."""
        return ["[OPTIONS]", *(str(argument.metavar) for argument in self._arguments)]


class Group(TyperGroup):
    """Program whose commands are listed below headings."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a Ctrl-C that it does not answer itself gets a sentence."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # Typer would end without one
            raise Interrupted(INTERRUPTED) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands and what each does."""
        for heading, names in _by_panel(self, ctx).items():
            with formatter.section(heading):
                commands = {name: self.get_command(ctx, name) for name in names}
                helps = [(f"{n:<8}", c.get_short_help_str(67)) for n, c in commands.items() if c]
                formatter.write_dl(helps)


def _by_panel(group: Any, ctx: Any) -> dict[str, list[str]]:
    panels: dict[str, list[str]] = {heading: [] for heading in PANELS}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if not command.hidden:
            panel = getattr(command, "rich_help_panel", None)
            panels.setdefault(panel if isinstance(panel, str) else "Other", []).append(name)
    return {heading: names for heading, names in panels.items() if names}


def overview(ctx: Any) -> str:
    """Return what `packrat` alone prints: the names of all commands, on less than a screen."""
    lines = [ctx.get_usage(), "", ctx.command.help, ""]
    for heading, names in _by_panel(ctx.command, ctx).items():
        first, *more = textwrap.wrap("  ".join(names), 69)
        lines += [f"  {heading:<9}{first}", *(f"{'':11}{line}" for line in more)]
    lines += ["", "packrat --help describes them, packrat help COMMAND explains one."]
    return "\n".join(lines)


def help_of(ctx: Any, words: list[str]) -> str:
    """Return the help text of the program, or of one of its commands; raises UsageError."""
    ctx = ctx.find_root()
    for word in words:
        command = ctx.command.get_command(ctx, word) if hasattr(ctx.command, "commands") else None
        if command is None:
            raise UsageError(f"there is no command {' '.join(words)!r}; packrat --help lists them")
        ctx = type(ctx)(command, info_name=word, parent=ctx)
    return str(ctx.get_help())


def misused(error: Any) -> Exit:
    """Print a usage error with the usage line; return the exit status."""
    from packrat.text.report import print_error

    usage = f"\n{error.ctx.get_usage()}" if getattr(error, "ctx", None) else ""
    print_error(f"{error.format_message()}{usage}")
    return Exit.USAGE
