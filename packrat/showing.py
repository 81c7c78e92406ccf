"""Commands that show progress while something runs: the border between run and terminal."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packrat.exits import Exit, UsageError, worst
from packrat.progress import progress
from packrat.report import as_json as print_json
from packrat.report import (
    bytes_text,
    complain,
    count_text,
    restored_json,
    result_json,
    result_text,
    time_text,
    warn,
)
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.events import Listener
    from packrat.backup import Choices
    from packrat.outcome import ByHand
    from packrat.program import Program
    from specs.pipeline import Pipeline


@contextmanager
def show_backup(pipeline: Pipeline) -> Iterator[Listener]:
    """Show the progress of a backup: what is read, and what each destination has taken."""
    stages = {"collect": "reading"}
    for name in pipeline.destinations:
        stages |= {f"catch_up:{name}": f"{name} catches up", f"upload:{name}": f"to {name}"}
    total = _Census(pipeline) if sys.stderr.isatty() else lambda: None
    with progress(pipeline.service, stages, total) as listener:
        yield listener


def back_up_all(
    pipelines: Sequence[Pipeline],
    choices: Choices | None = None,
    *,
    as_json: bool,
    tells: ByHand | None = None,
) -> int:
    """Back up one after the other and report; gives the exit status."""
    from packrat.backup import back_up

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
            print(result_text(result))
        if result.exit == Exit.INTERRUPTED:
            break
    if as_json:
        print_json([result_json(result) for result in results])
    if tells:
        sys.stdout.flush()
        tells.close()
    return worst(result.exit for result in results)


class _Census:
    """Counts the bytes of a source beside the backup, so that the bar knows its length."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._bytes = 0
        self._whole = False
        collect = pipeline.stages.get("collect", {})
        path, exclude = collect.get("path"), collect.get("exclude", [])
        if path:
            threading.Thread(target=self._count, args=(path, exclude), daemon=True).start()

    def __call__(self) -> int | None:
        return self._bytes if self._whole else None

    def _count(self, path: str, exclude: list[str]) -> None:
        from packrat.planning import count_source

        try:
            _, self._bytes = count_source(path, exclude)
        except OSError:
            return
        self._whole = True


def restore_to(
    program: Program,
    service: str,
    backup: str,
    source: str | None,
    paths: Sequence[str],
    to: str,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Restore to a folder and report; gives the exit status."""
    from packrat.restore import choose, restore

    program.services([service])
    paths = [path.strip("/") for path in paths]
    target = os.path.abspath(os.path.expanduser(to))
    chosen = choose(program, service, backup, source, warn)
    manifest = chosen.archive.manifest
    what = printable(", ".join(paths)) if paths else f"all {count_text(manifest.files, 'file')}"
    summary = (
        f"{service} of {time_text(manifest.time)} ({manifest.id[:8]}), {what}\n"
        f"  from {chosen.catalog.destination.name} to {printable(target)}"
    )
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("restore asks before it writes; off a terminal give --yes")
        import typer

        if not typer.confirm(f"Restore {summary}?", err=True):
            print("nothing was restored", file=sys.stderr)
            return Exit.INTERRUPTED
    total = None if paths else manifest.size
    with progress(service, {"collect": "restoring"}, lambda: total) as listener:
        restored, _ = restore(program, service, chosen, paths, target, [listener])
    for warning in restored.warnings:
        warn(warning)
    if as_json:
        print_json(restored_json(restored))
    else:
        print(
            f"{service}: restored {count_text(restored.files, 'file')},"
            f" {bytes_text(restored.size)}, from {restored.source} to {printable(target)}"
            f" in {restored.seconds:.1f} s"
        )
    return Exit.PARTIAL if restored.warnings else Exit.DONE
