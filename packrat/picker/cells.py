"""Text that fits a number of columns of the terminal; unprintable characters are escaped."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from packrat.text.layout import GAP, cell_len, padded, shortened
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def width() -> int:
    """Return the number of columns of the terminal."""
    return _size().columns or 80


def height() -> int:
    """Return the number of lines of the terminal."""
    return _size().lines or 24


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except OSError:  # standard error is not the terminal
        return os.terminal_size((80, 24))


def fit(text: str, columns: int) -> str:
    """Return a text escaped, shortened in the middle or padded to a number of columns."""
    return padded(shortened(printable(text), columns), columns)


def pieces(text: str, columns: int) -> list[str]:
    """Return a text escaped, on as many lines as it needs, so that paths are shown in full."""
    text, lines = printable(text), list[str]()
    while text or not lines:
        piece = text[:columns]
        while cell_len(piece) > columns:
            piece = piece[:-1]
        if len(piece) < len(text) and (space := piece.rfind(" ") + 1) > columns // 2:
            piece = piece[:space]
        lines.append(piece.rstrip())
        text = text[len(piece) :]
    return lines


def mtime_text(mtime: int) -> str:
    """Return the local time of a file; nothing if it is beyond what a calendar has."""
    try:
        return f"{datetime.fromtimestamp(mtime / 1e9, UTC).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return ""


def aligned(
    rows: Sequence[Sequence[str]], columns: int, drop: Sequence[int], right: Sequence[int] = ()
) -> list[str]:
    """Return rows with their cells below each other, one line each.

    Empty columns are left out; where there is too little room, the columns `drop` as well, the
    first one first. Those in `right` are aligned to the right.
    """
    if not rows:
        return []
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    shown = [n for n, wide in enumerate(widths) if wide]
    for n in drop:
        if sum(widths[m] for m in shown) + len(GAP) * (len(shown) - 1) <= columns:
            break
        shown = [m for m in shown if m != n]

    return [GAP.join(padded(row[n], widths[n], n in right) for n in shown).rstrip() for row in rows]
