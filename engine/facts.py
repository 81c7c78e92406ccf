"""Facts and resources of one run: which stage provided what, and which stages have ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAIT_SECONDS = 0.1
"""Interval at which a waiting stage checks whether the run was cancelled."""


class Unavailable(Exception):  # noqa: N818 (it ends a stage, and is no fault of it)
    """Error of a stage that cannot run because another one failed or was skipped."""

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because


class Facts:
    """Thread-safe board where stages publish what they provide, once."""

    def __init__(self, given: Iterable[Any] = ()) -> None:
        """Start with what the program gives: facts and resources, each of a different type."""
        self.changed = threading.Condition()
        self._given = {type(value): value for value in given}
        self._provided: dict[tuple[str, type], Any] = {}
        self._ended: dict[str, str | None] = {}

    def provide(self, stage: str, value: Any) -> None:
        """Publish a value; raises LookupError if the stage has already provided one of its type."""
        with self.changed:
            if (stage, type(value)) in self._provided:
                raise LookupError(f"{stage} provides {type(value).__name__} a second time")
            self._provided[stage, type(value)] = value
            self.changed.notify_all()

    def provided(self, kind: type, stage: str | None = None) -> dict[str, Any]:
        """Return stage -> value for all values of one type, or for those of one stage."""
        with self.changed:
            return {
                name: value
                for (name, one), value in self._provided.items()
                if one is kind and stage in (None, name)
            }

    def given(self, kind: type, default: Any) -> Any:
        """Return what the program gave; raises LookupError if it is missing and has no default."""
        value = self._given.get(kind, default)
        if value is None:
            raise LookupError(f"neither a stage nor the program provides {kind.__name__}")
        return value

    def wait(self, kind: type, stage: str, check: Callable[[], None]) -> Any:
        """Return what a stage provides, waiting for it; `check` may raise to end the wait.

        Raises Unavailable when the stage has ended without providing it.
        """
        with self.changed:
            while True:
                if (stage, kind) in self._provided:
                    return self._provided[stage, kind]
                if stage in self._ended:
                    raise Unavailable(self._ended[stage] or stage)
                check()
                self.changed.wait(WAIT_SECONDS)

    def end(self, stage: str, because: str | None) -> None:
        """Record that a stage has ended; `because` is the stage that kept it from finishing."""
        with self.changed:
            self._ended[stage] = because
            self.changed.notify_all()

    def ended(self, stage: str) -> bool:
        """Return whether a stage has ended."""
        return stage in self._ended

    def culprit(self, stage: str) -> str | None:
        """Return the stage that prevented an ended one from finishing, None if it finished."""
        return self._ended[stage]
