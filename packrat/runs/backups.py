"""Backups of several services, one after the other, with progress bars and a report."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packrat.errors import Exit, worst
from packrat.runs.backup import back_up
from packrat.runs.repair import repair
from packrat.text.progress import progress
from packrat.text.report import as_json as print_json
from packrat.text.report import complain, warn
from stages.count_source import count_source
from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.events import Listener
    from packrat.notify.message import ByHand
    from packrat.runs.backup import Choices
    from specs.pipeline import Pipeline


@contextmanager
def show_backup(pipeline: Pipeline) -> Iterator[Listener]:
    """Show the progress of a backup: bytes read, and bytes sent to each destination."""
    stages = {"collect": "reading"}
    if "warm" in pipeline.stages:
        stages = {"warm": "reading", "collect": "reading what has changed"}
    for name in pipeline.destinations:
        stages |= {f"catch_up:{name}": f"{name} catches up", f"upload:{name}": f"to {name}"}
    total = _SourceCounter(pipeline) if sys.stderr.isatty() else lambda: None
    with progress(pipeline.service, stages, total) as listener:
        yield listener


def back_up_all(
    pipelines: Sequence[Pipeline],
    choices: Choices | None = None,
    *,
    as_json: bool,
    tells: ByHand | None = None,
) -> int:
    """Run backups one after the other and report; return the exit status."""
    for state_dir in {pipeline.state_dir for pipeline in pipelines}:
        for sentence in repair(state_dir):
            warn(sentence)
    results = []
    for pipeline in pipelines:
        if tells:
            tells.begins(pipeline.service)
        with show_backup(pipeline) as listener:
            result = back_up(pipeline, [listener], choices)
        if tells:
            tells.ended(result)
        results.append(result)
        if not as_json and result.status == "failed":
            complain(f"{pipeline.service}: {result.error}")
        elif not as_json:
            print(result.summary)
        if result.exit == Exit.INTERRUPTED:
            break
    if as_json:
        print_json([result.document for result in results])
    if tells:
        sys.stdout.flush()
        tells.close()
    return worst(result.exit for result in results)


class _SourceCounter:
    """Counter of a source's bytes in a thread, for the length of the progress bar."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._bytes = 0
        self._whole = False
        collect = pipeline.stages.get("collect", {})
        if path := collect.get("path"):
            what = (pipeline.state_dir, path, collect.get("exclude", []), collect.get("never", []))
            threading.Thread(target=self._count, args=what, daemon=True).start()

    def __call__(self) -> int | None:
        return self._bytes if self._whole else None

    def _count(self, state_dir: str, path: str, exclude: list[str], never: list[str]) -> None:
        try:
            _, self._bytes = count_source(state_dir, path, exclude, never)
        except (SourceError, OSError):
            return
        self._whole = True
