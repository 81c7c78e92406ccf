"""What a run says while it runs. Progress bars, logs and history are listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened at the stage of this name."""

    stage: str


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The stage was asked for its first item."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Items and bytes that have passed since the start; sent a few times a second."""

    items: int
    bytes: int
    whole: int | None = None
    """Bytes that will have passed at the end, where that is known."""


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The stage is done; seconds since it started."""

    items: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The stage ended by this error."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """The stage did not run, or not to its end, because of another one."""

    because: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something that a person should know, though the stage goes on."""

    text: str


Listener = Callable[[Event], None]
