"""Notify: tell people how a run ended."""

from __future__ import annotations

from typing import Any, ClassVar

from engine.stage import Stage


class Notify(Stage):
    """Runs however the run ended."""

    kind: ClassVar[str] = "notify"
    always: ClassVar[bool] = True

    urls: tuple[Any, ...]
    """Secrets by reference."""
    on: tuple[str, ...] = ("failed", "partial")

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say when."""
        return f"on {', '.join(self.on)}"
