"""Where an archive comes from: its line, its roots, and what people have said about the line.

A service's *line* is the sequence of its archives; it outlives a change of the host's name.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vault.archive.ranges import (
    ARCHIVES_SAID,
    LABEL_BYTES,
    ROOTS_MOST,
    SEQUENCE_LAST,
    TEXT_BYTES,
)

Id = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Time = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{8}T[0-9]{6}Z\Z")]
Sequence = Annotated[int, msgspec.Meta(ge=1, le=SEQUENCE_LAST)]
Says = Literal["pin", "unpin", "pruned", "forgotten", "accepted"]

PATH_ROOT = ""
"""Label of the only root of a service with a `path`."""
STREAMED = ("dump", "definition")
"""Kinds of roots whose files are streams."""


class Root(msgspec.Struct, frozen=True):
    """One of the things that an archive holds."""

    label: str
    """First component of the paths of its entries; "" for a single folder without one."""
    kind: Literal["folder", "volume", "dump", "definition"]
    source: str
    """Where it was read, for people."""


class Parent(msgspec.Struct, frozen=True):
    """Newest archive of the line when another one was made."""

    id: Id
    name: str


class Pin(msgspec.Struct, frozen=True):
    """Archive that must be kept, since a time and for a reason."""

    archive: Id
    time: Time
    text: str


class Accepted(msgspec.Struct, frozen=True):
    """Archive whose state, or whose absence, somebody accepted."""

    archive: Id
    time: Time


class Gone(msgspec.Struct, frozen=True):
    """Archive that packrat deleted."""

    archive: Id
    time: Time
    how: Literal["pruned", "forgotten"]


class Lineage(msgspec.Struct, kw_only=True):
    """Part of a manifest that continues a line."""

    line: Id
    parent: Parent | None
    sequence: Sequence
    """1 for the first archive of a line, then one more than its parent's."""
    pins: list[Pin] = []
    accepted: list[Accepted] = []
    gone: list[Gone] = []
    """Deleted archives that another archive names."""


def fault_of_roots(roots: list[Root]) -> str | None:
    """Return what is wrong with the roots of an archive, as the end of a sentence, or None."""
    labels = [root.label for root in roots]
    if not 0 < len(roots) <= ROOTS_MOST or len(set(labels)) < len(labels):
        return "has no roots, too many, or two with one label"
    if labels == [PATH_ROOT]:
        return "has a stream without a label" if roots[0].kind in STREAMED else None
    for label in labels:
        wrong = label in ("", ".", "..") or "/" in label or "\0" in label
        if wrong or len(label.encode()) > LABEL_BYTES:
            return f"has a root with the label {label!r:.40}"
    return None


def fault_of_saying(archives: list[str], text: str) -> str | None:
    """Return what is wrong with the content of a statement, as the end of a sentence, or None."""
    if 0 < len(archives) <= ARCHIVES_SAID and len(text.encode()) <= TEXT_BYTES:
        return None
    return "is about no archive, about too many, or too long"
