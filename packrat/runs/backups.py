"""Backups of several services, one after the other, with progress bars and a report."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from packrat.errors import Exit, worst
from packrat.runs.backup import Choices, back_up
from packrat.runs.repair import repair
from packrat.text.progress import Detail, progress
from packrat.text.report import print_error, print_json, say, warn
from stages.errors import SourceError
from stages.root_walk import count_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.events import Listener
    from packrat.notify.message import ManualNotifier
    from specs.pipeline import Pipeline


def show_backup(pipeline: Pipeline, detail: Detail) -> AbstractContextManager[Listener]:
    """Show the progress of a backup: bytes read, and bytes sent to each destination."""
    stages = {"collect": "reading"}
    if "warm" in pipeline.stages:
        stages = {"warm": "reading", "collect": "reading what has changed"}
    for name in pipeline.destinations:
        stages |= {f"catch_up:{name}": f"{name} catches up", f"upload:{name}": f"to {name}"}
    bars = detail is Detail.NORMAL and sys.stderr.isatty()
    total = _count_ahead(pipeline) if bars else lambda: None
    return progress(pipeline.service, stages, total, detail)


def back_up_all(
    pipelines: Sequence[Pipeline],
    choices: Choices | None = None,
    *,
    as_json: bool,
    notify: ManualNotifier | None = None,
    detail: Detail = Detail.NORMAL,
) -> int:
    """Run backups one after the other and report; return the exit status."""
    for state_dir in {pipeline.state_dir for pipeline in pipelines}:
        for sentence in repair(state_dir):
            warn(sentence)
    results = []
    for pipeline in pipelines:
        if notify:
            notify.begins(pipeline.service)
        with show_backup(pipeline, detail) as listener:
            result = back_up(pipeline, [listener], choices)
        if notify:
            notify.ended(result)
        results.append(result)
        if not as_json and result.status == "failed":
            print_error("\n".join([f"{pipeline.service}: {result.error}", *result.alarms]))
        elif not as_json and (detail is not Detail.QUIET or result.error or result.alarms):
            say(result.summary)
        if result.exit == Exit.INTERRUPTED:
            break
    if as_json:
        print_json([result.document for result in results])
    if notify:
        sys.stdout.flush()
        notify.close()
    return worst(result.exit for result in results)


def _count_ahead(pipeline: Pipeline) -> Callable[[], int | None]:
    """Count a source's bytes in a thread; return a function for their number once it is known."""
    counted: list[int] = []
    reads = pipeline.reads

    def count() -> None:
        with suppress(SourceError, OSError):
            if reads:
                counted.append(count_source(pipeline.state_dir, reads.resolve())[1])

    if reads:
        threading.Thread(target=count, daemon=True).start()
    return lambda: counted[0] if counted else None
