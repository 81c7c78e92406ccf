"""Layout of tables and sentences for a terminal's width: lines break at words only."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "  "
NAME, LEAST = 16, 6
"""Columns that a shortened name keeps, and any other cell."""
_LISTS = re.compile(r"(?<=[,;]) ")
_WORDS = re.compile(r"(?<!\d) | (?=\d)|(?<=[^\d\s]\d) ")
"""Spaces, but not the one between a number and its unit."""
_HANGING = re.compile(r" *(?:\d+\. |\S+(?: \S+)* {2,})?")
"""Beginning of a line below which its continuation is indented: a number, or the name of a row."""


def cell_len(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich import cells  # takes 20 ms to load

    return cells.cell_len(text)


def wrap(text: str, width: int) -> list[str]:
    """Break a line at spaces; a word that is wider than `width` stays whole.

    The continuation is indented like the text behind `1. ` or `name  `.
    """
    hanging = match.end() if (match := _HANGING.match(text)) else 0
    if hanging > width // 2:
        hanging = len(text) - len(text.lstrip(" "))
    lines, first = [text[:hanging]], True
    for word in text[hanging:].split(" "):
        longer = lines[-1] + " " * (not first) + word
        if first or cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(" " * hanging + word)
        first = False
    return lines


def table_lines(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    right: Sequence[str] = (),
    drop: Sequence[str] = (),
    below: Sequence[str] = (),
) -> list[str]:
    """Return the lines of a table, with two spaces between columns, that fit `width`.

    Where there is too little room, lists are broken behind their commas; then the columns `drop`
    are left out, the first one first; then long names are shortened, cells are broken at spaces,
    and last they are shortened. `below` has a text for each row, printed on lines of its own.
    """
    shown = [list(column) for column in zip(columns, *rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in shown]
    least = [_narrowest(column, _LISTS) for column in shown]
    for name in drop:
        if width is None or _sum(least) <= width:
            break
        at = next(n for n, column in enumerate(shown) if column[0] == name)
        del shown[at], widths[at], least[at]
    words = [_narrowest(column, _WORDS) for column in shown]
    for fallback in (
        [min(one, NAME) if one == word else one for one, word in zip(least, words, strict=True)],
        words,
        *([min(one, most) for one in words] for most in range(NAME, LEAST, -2)),
    ):
        if width is None or _sum(least) <= width:
            break
        least = fallback
    while width is not None and (excess := _sum(widths) - width) > 0 and widths != least:
        # As few columns as possible become narrower.
        at = max(range(len(widths)), key=lambda n: widths[n] - least[n])
        widths[at] = max(least[at], widths[at] - excess)
    lines = []
    for row, text in zip_longest(zip(*shown, strict=True), ["", *below], fillvalue=""):
        cells = [_broken(cell, columns) for cell, columns in zip(row, widths, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            filled = (
                padded(cell, columns, column[0] in right)
                for cell, columns, column in zip(line, widths, shown, strict=True)
            )
            lines.append(GAP.join(filled).rstrip())
        if text:
            lines += wrap(f"{GAP * 2}{text}", width) if width else [f"{GAP * 2}{text}"]
    return lines


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowest(cells: Sequence[str], at: re.Pattern[str]) -> int:
    return max(cell_len(piece) for cell in cells for piece in at.split(cell))


def _broken(cell: str, width: int) -> list[str]:
    """Return the lines of a cell: broken behind commas if that is enough, else at spaces."""
    separator = _LISTS if _narrowest([cell], _LISTS) <= width else _WORDS
    lines: list[str] = []
    for piece in separator.split(cell):
        if lines and cell_len(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return [shortened(line, width) for line in lines]


def shortened(text: str, width: int) -> str:
    """Return a text with its middle left out if it is too wide."""
    if cell_len(text) <= width:
        return text
    kept = width
    while cell_len(short := f"{text[: kept // 2]}…{text[len(text) - (kept - 1) // 2 :]}") > width:
        kept -= 1
    return short


def padded(cell: str, width: int, right: bool = False) -> str:  # noqa: FBT001, FBT002
    """Return a text filled up with spaces, in front of it if it is aligned to the right."""
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space
