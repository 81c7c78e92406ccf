"""Events of a run. Progress bars, logs and the history are listeners."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Event(Struct, frozen=True):
    """Something happened at the stage of this name."""

    stage: str


class Started(Event, frozen=True):
    """The stage was asked for its first item."""


class Progress(Event, frozen=True):
    """Items and bytes that have passed since the start; sent a few times a second."""

    items: int
    bytes: int
    whole: int | None = None
    """Bytes that will have passed at the end, if known."""


class Acquired(Event, frozen=True):
    """The scope whose acquiring link this is was acquired."""


class Released(Event, frozen=True):
    """The scope that this link releases was released, or its release has failed."""


class Finished(Event, frozen=True):
    """The stage is done; seconds since it started."""

    items: int
    bytes: int
    seconds: float


class Failed(Event, frozen=True):
    """The stage ended with this error."""

    error: BaseException


class Skipped(Event, frozen=True):
    """The stage did not run, or not to its end, because of another stage."""

    because: str


class Warned(Event, frozen=True):
    """Something that a person should know, though the stage goes on."""

    text: str


Listener = Callable[[Event], None]
