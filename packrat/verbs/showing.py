"""Commands that show progress while something runs: the border between run and terminal."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from packrat.errors import Exit, Interrupted, worst
from packrat.text.progress import progress
from packrat.text.report import as_json as print_json
from packrat.text.report import (
    bytes_text,
    complain,
    count_text,
    restored_json,
    result_json,
    result_text,
    warn,
)
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.events import Listener
    from packrat.notify.message import ByHand
    from packrat.program import Program
    from packrat.restore.request import Request
    from packrat.runs.backup import Choices
    from specs.pipeline import Pipeline


@contextmanager
def show_backup(pipeline: Pipeline) -> Iterator[Listener]:
    """Show the progress of a backup: what is read, and what each destination has taken."""
    stages = {"collect": "reading"}
    if "warm" in pipeline.stages:
        stages = {"warm": "reading", "collect": "reading what has changed"}
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
    from packrat.runs.backup import back_up
    from packrat.runs.repair import repair

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
        if path := collect.get("path"):
            what = (path, collect.get("exclude", []), collect.get("never", []))
            threading.Thread(target=self._count, args=what, daemon=True).start()

    def __call__(self) -> int | None:
        return self._bytes if self._whole else None

    def _count(self, path: str, exclude: list[str], never: list[str]) -> None:
        from packrat.verbs.planning import count_source

        try:
            _, self._bytes = count_source(path, exclude, never)
        except OSError:
            return
        self._whole = True


def restore_to(program: Program, request: Request, *, as_json: bool) -> int:
    """Restore to a folder, or in place, and report; gives the exit status."""
    from packrat.restore.restore import restore
    from packrat.restore.unlock import choose_and_unlock

    service, paths = request.service, request.paths
    target = request.target and os.path.abspath(os.path.expanduser(request.target))
    program, chosen = choose_and_unlock(
        program, service, request.backup, request.source, request.password_file, warn
    )
    try:
        with progress(service, {"collect": "restoring"}) as listener:
            restored, session = restore(program, service, chosen, paths, target, [listener])
    except KeyboardInterrupt:
        raise Interrupted(
            f"{service}: interrupted; the same restore to {target} goes on from there"
            if target
            else f"{service}: interrupted; everything is as it was before"
        ) from None
    if as_json:
        print_json(restored_json(restored))
    else:
        where = f"to {printable(restored.target)}" if target else "in place"
        print(
            f"{service}: restored {count_text(restored.files, 'file')},"
            f" {bytes_text(restored.size)}, from {restored.source} {where}"
            f" in {restored.seconds:.1f} s"
        )
        if session.standstill.seconds is not None:
            print(f"{service}: its containers stood still for {session.standstill.seconds:.1f} s")
        if session.aside:
            print(
                f"What was there is in {printable(session.aside)}\n"
                f"  packrat restore --undo {service}    puts it back\n"
                f"  packrat restore --forget {service}  deletes it, as the next good backup does"
            )
        elif sys.stdout.isatty():
            print("It is a copy: the service's own files are as they were.")
    return Exit.PARTIAL if restored.partial else Exit.DONE
