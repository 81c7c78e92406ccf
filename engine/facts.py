"""Facts and resources of one run: who has provided what, and which stages have ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAIT_SECONDS = 0.1
"""How often a stage that waits looks whether the run was cancelled."""


class Unavailable(Exception):  # noqa: N818 (it ends a stage, and is no fault of it)
    """A stage cannot run because of another one, which failed or was skipped."""

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because


class Facts:
    """Thread-safe board on which stages put what they provide, once."""

    def __init__(self, given: Iterable[Any] = ()) -> None:
        """`given` are the facts and resources of the program, each of another type."""
        self.changed = threading.Condition()
        self._given = {type(value): value for value in given}
        self._provided: dict[tuple[str, type], Any] = {}
        self._ended: dict[str, str | None] = {}

    def provide(self, stage: str, value: Any) -> None:
        """Put a value on the board; raises LookupError when there is one of its type."""
        with self.changed:
            if (stage, type(value)) in self._provided:
                raise LookupError(f"{stage} provides {type(value).__name__} a second time")
            self._provided[stage, type(value)] = value
            self.changed.notify_all()

    def provided(self, kind: type, stage: str | None = None) -> dict[str, Any]:
        """Return stage -> value of everything of one type, or what one stage has provided."""
        with self.changed:
            return {
                name: value
                for (name, one), value in self._provided.items()
                if one is kind and stage in (None, name)
            }

    def given(self, kind: type, default: Any) -> Any:
        """Return what the program has given; raises LookupError without it and a default."""
        value = self._given.get(kind, default)
        if value is None:
            raise LookupError(f"neither a stage nor the program provides {kind.__name__}")
        return value

    def wait(self, kind: type, stage: str, check: Callable[[], None]) -> Any:
        """Return what a stage provides, once it has; `check` may end the wait.

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
        """Note that a stage has ended; `because` is the stage that kept it from its end."""
        with self.changed:
            self._ended[stage] = because
            self.changed.notify_all()

    def ended(self, stage: str) -> bool:
        """Return whether a stage has ended."""
        return stage in self._ended

    def culprit(self, stage: str) -> str | None:
        """Return the stage because of which an ended one did not reach its end, if so."""
        return self._ended[stage]
