"""Command: run a shell command before or after, such as the dump of a database."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from engine.stage import Stage


class Command(Stage):
    """Bash runs it; it must succeed within its time."""

    kind: ClassVar[str] = "command"

    command: str
    working_dir: str | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    """Name -> where its value is: a secret by reference."""
    timeout: int = 3600
    container: str | None = None

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Show the command's first line."""
        first, *more = self.command.strip().splitlines()
        where = f"in {self.container}: " if self.container else ""
        return f"{where}{first.rstrip(chr(92)).strip()}{' …' if more else ''}"
