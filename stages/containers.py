"""Containers: stand still while the source is read, and run again after."""

from __future__ import annotations

from typing import ClassVar

from engine.stage import Scope


class Containers(Scope):
    """Stops containers in the given order, starts in reverse those that ran."""

    kind: ClassVar[str] = "containers"

    names: tuple[str, ...]
    host: str | None = None
    stop_timeout: int = 30
    health_timeout: int = 120
    warm: bool = True
    max_downtime: int | None = None

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Name them."""
        return ", ".join(self.names)
