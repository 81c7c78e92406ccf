"""Events of a run. Progress bars, logs and the history are listeners."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Event(Struct, frozen=True):
    """Something that happened at the stage of this name."""

    stage: str


class Started(Event, frozen=True):
    """Request for the first item of the stage."""


class Progress(Event, frozen=True):
    """Items and bytes that have passed since the start; sent a few times a second."""

    items: int
    bytes: int
    whole: int | None = None
    """Bytes that will have passed at the end, if known."""


class Acquired(Event, frozen=True):
    """Acquisition of the scope whose acquiring link this is."""


class Released(Event, frozen=True):
    """End of the scope that this link releases, whether or not the release succeeded."""


class Finished(Event, frozen=True):
    """End of a stage that is done; seconds since it started."""

    items: int
    bytes: int
    seconds: float


class Failed(Event, frozen=True):
    """End of a stage with this error."""

    error: BaseException


class Skipped(Event, frozen=True):
    """Stage that did not run, or not to its end, because of another stage."""

    because: str


class Warned(Event, frozen=True):
    """Something that a person should know, although the stage goes on."""

    text: str


Listener = Callable[[Event], None]
