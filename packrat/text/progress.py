"""Progress bars on a terminal with bytes, files, rate and time left, after one second."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from engine.events import Event, Failed, Finished, Listener, Progress, Skipped, Warned
from packrat.text.report import bytes_text, count_text, say, warn
from specs.faults import printable
from stages.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


QUIET_SECONDS = 1.0


class Detail(Enum):
    """Amount of output of a command."""

    QUIET = "quiet"
    """Only warnings and errors."""
    NORMAL = "normal"
    VERBOSE = "verbose"
    """Also each stage, as it ends."""


@contextmanager
def progress(
    title: str,
    stages: dict[str, str],
    total: Callable[[], int | None] = lambda: None,
    detail: Detail = Detail.NORMAL,
) -> Iterator[Listener]:
    """Show the progress of some stages (name -> title) on standard error.

    `total` returns the number of bytes that the first stage will see, None while it is unknown; the
    events of the stage may have it too. Bars need a terminal and the normal detail.
    """
    if detail is Detail.VERBOSE:
        yield partial(_every_stage, title)
        return
    if detail is Detail.QUIET or not sys.stderr.isatty():
        yield _only_messages
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    def right(text: str) -> TextColumn:
        return TextColumn(text, table_column=Column(justify="right", no_wrap=True))

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        right("{task.fields[bytes]}"),
        right("{task.fields[files]}"),
        right("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=5,
    )
    tasks: dict[str, TaskID] = {}
    first = next(iter(stages))
    # A run of less than a second shows no bar.
    timer = threading.Timer(QUIET_SECONDS, bars.start)
    timer.daemon = True

    def listen(event: Event) -> None:
        _only_messages(event)  # above the bars: they redirect standard error
        if event.stage not in stages or not isinstance(event, Progress | Finished):
            return
        if event.stage not in tasks and not event.bytes:
            return
        if event.stage not in tasks:
            what = f"{title}: {stages[event.stage]}"
            tasks[event.stage] = bars.add_task(what, total=None, bytes="", files="", rate="")
        task = tasks[event.stage]
        whole = total() if event.stage == first else None
        if isinstance(event, Finished):
            whole = event.bytes
        elif event.whole is not None:
            whole = event.whole
        speed = bars.tasks[task].speed
        bars.update(
            task,
            completed=event.bytes,
            total=whole,
            bytes=bytes_text(event.bytes, whole),
            files=count_text(event.items, "file") if event.items and event.stage == first else "",
            rate=f"{bytes_text(speed)}/s" if speed else "",
        )

    timer.start()
    try:
        yield listen
    finally:
        timer.cancel()
        timer.join()
        bars.stop()


def _every_stage(title: str, event: Event) -> None:
    match event:
        case Finished():
            moved = f"{event.items:,} items, {bytes_text(event.bytes)}, " if event.items else ""
            say(f"{title}: {event.stage}: {moved}{event.seconds:.1f} s", sys.stderr)
        case Failed():
            say(f"{title}: {event.stage}: failed", sys.stderr)
        case Skipped():
            say(f"{title}: {event.stage}: skipped because of {event.because}", sys.stderr)
        case _:
            _only_messages(event)


def _only_messages(event: Event) -> None:
    if isinstance(event, Warned):
        warn(event.text)
    elif isinstance(event, Waiting) and event.reason:
        say(f"waiting for {printable(event.reason)}", sys.stderr)
