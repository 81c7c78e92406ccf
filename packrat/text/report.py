"""Tables, sentences and JSON documents, styled on a terminal and plain in a pipe."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from packrat.text.layout import table_lines, wrap
from specs.faults import printable
from stages.masking import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault.archive.format import Summary

USUAL_WIDTH = 80
"""Columns of a terminal that does not know its size."""
STYLES = {
    r"(?<![\w-])(failed|overdue|damaged|missing|lost|killed)(?![\w-])": "bold red",
    r"(?<![\w-])(partial|interrupted|never ran|is due)(?![\w-])": "yellow",
}
"""Words of tables that are coloured."""


def print_json(document: Any) -> None:
    """Print one JSON document, with only unprintable characters escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def columns_of(stream: TextIO) -> int | None:
    """Return the width of a terminal; None for a pipe or file, whose lines are not broken."""
    if not stream.isatty():
        return None
    return os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH


def say(text: str, stream: TextIO | None = None) -> None:
    """Print printable text, on a terminal with its lines broken at words."""
    stream = stream or sys.stdout
    if width := columns_of(stream):
        text = "\n".join(part for line in text.split("\n") for part in wrap(line, width))
    print(text, file=stream, flush=stream is sys.stderr)


def print_error(message: str, *, bare: bool = False) -> None:
    """Print an error; `bare` omits the prefix, for lines that begin with their file."""
    lines = "\n".join(map(printable, masked(message).split("\n")))
    say(lines if bare else f"packrat: {lines}", sys.stderr)


def warn(text: str) -> None:
    """Print a warning; the command goes on."""
    say(f"warning: {printable(masked(text))}", sys.stderr)


def count_text(count: int, what: str) -> str:
    """Return a number of things: 1 file, 2 files."""
    return f"{count:,} {what}" + "s" * (count != 1)


def missed_text(summary: Summary) -> str:
    """Return a warning that a backup lacks files that could not be read when it was made."""
    return (
        f"when backup {summary.id[:8]} was made, {count_text(summary.missed, 'file')}"
        " could not be read, and are not in it"
    )


def bytes_text(count: float, of: float | None = None) -> str:
    """Return a number of bytes in a readable unit: 1.4 MiB; with `of`, 1.4/2.0 MiB."""
    unit, size = "B", 1.0
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(of or count) < 1024 * size:
            break
        unit, size = larger, 1024 * size
    done, whole = (f"{one / size:.{int(unit != 'B')}f}" for one in (count, of or 0))
    return f"{done}/{whole} {unit}" if of else f"{done} {unit}"


def growth_text(count: int) -> str:
    """Return a number of bytes that were added or, if it is negative, removed: +1.4 MiB."""
    return f"{'+' * (count > 0)}{bytes_text(count)}"


def time_text(stamp: str) -> str:
    """Return an archive's time in the local time zone."""
    moment = datetime.fromisoformat(stamp)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute_text(when: str | float) -> str:
    """Return an archive's time, or seconds since 1970, in the local time zone, to the minute."""
    if isinstance(when, str):
        return time_text(when).rpartition(":")[0]
    return f"{datetime.fromtimestamp(when).astimezone():%Y-%m-%d %H:%M}"


def when_text(stamp: str, now: float | None = None) -> str:
    """Return an archive's time in words: yesterday 02:00, Sunday 02:00, 12 days ago."""
    moment = datetime.fromisoformat(stamp).astimezone()
    today = (datetime.fromtimestamp(now) if now else datetime.now()).date()  # noqa: DTZ005, DTZ006
    days = (today - moment.date()).days
    clock = moment.strftime("%H:%M")
    if days in (0, 1):
        return f"{('today', 'yesterday')[days]} {clock}"
    if 1 < days < 7:  # noqa: PLR2004 (a week)
        return f"{moment:%A} {clock}"
    if days < 0:
        return f"{moment:%Y-%m-%d} {clock}"
    return f"{days} days ago" if days < 100 else f"{days // 30} months ago"  # noqa: PLR2004


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    drop: Sequence[str] = (),
    below: Sequence[str] = (),
) -> None:
    """Print a table that fits the terminal; see `layout.table_lines` for the arguments."""
    cells = [[printable(cell) for cell in row] for row in rows]
    width = columns_of(sys.stdout)
    lines = table_lines(columns, cells, width, right, drop, [printable(text) for text in below])
    if width is None:
        print("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(lines[0], "bold"))
    for line in lines[1:]:
        text = Text(line)
        for words, style in STYLES.items():
            text.highlight_regex(words, style)
        console.print(text)
