"""Words for replaced folders: what they hold, and how long they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.report import bytes_text, minute_text
from vault.archive.format import stamp, unstamp

if TYPE_CHECKING:
    from stages.in_place.replaced import Replaced


def replaced_document(one: Replaced, keep: int) -> dict[str, Any]:
    """Return a replaced folder as JSON documents have it; `keep` is in seconds."""
    return {
        "folder": one.folder,
        "by": one.by,
        "backup": one.backup[:8],
        "bytes": one.bytes,
        "since": stamp(one.since),
        "until": stamp(one.since + keep),
    }


def replaced_text(document: dict[str, Any], now: float) -> str:
    """Return what a restore or an undo set aside, since when, and until when."""
    by = "an undo" if document["by"] == "undo" else "a restore in place"
    return (
        f"{by} set aside {bytes_text(document['bytes'])} at {minute_text(document['since'])};"
        f" {until_text(document['until'], now)} deletes it"
    )


def until_text(until: str, now: float) -> str:
    """Return which backup deletes a replaced folder."""
    if unstamp(until) <= now:
        return "the next good backup"
    return f"the first good backup after {minute_text(until)}"
