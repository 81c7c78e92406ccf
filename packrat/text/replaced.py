"""Words for replaced folders: what they hold, and how long they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.report import bytes_text, minute_text
from vault.archive.format import stamp, unstamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def replaced_texts(
    documents: Iterable[dict[str, Any]], now: float
) -> Iterator[tuple[str, list[str]]]:
    """Yield what each restore or undo set aside, since when and until when, and its folders.

    A service with several roots has a replaced folder in each.
    """
    together: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in documents:
        together.setdefault((one["by"], one["since"], one["until"]), []).append(one)
    for (by, since, until), ones in together.items():
        who = "an undo" if by == "undo" else "a restore in place"
        size = bytes_text(sum(one["bytes"] for one in ones))
        text = (
            f"{who} set aside {size} at {minute_text(since)}; {until_text(until, now)} deletes it"
        )
        yield text, [one["folder"] for one in ones]


def until_text(until: str, now: float) -> str:
    """Return which backup deletes a replaced folder."""
    if unstamp(until) <= now:
        return "the next good backup"
    return f"the first good backup after {minute_text(until)}"
