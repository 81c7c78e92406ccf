"""Backups and restores with progress bars and reports, for several commands."""

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
    from packrat.restore.opened import OpenedBackup
    from packrat.restore.request import Request
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
        from packrat.verbs.planning import count_source

        try:
            _, self._bytes = count_source(state_dir, path, exclude, never)
        except OSError:
            return
        self._whole = True


def restore_to(
    program: Program, request: Request, opened: OpenedBackup | None, *, as_json: bool
) -> int:
    """Restore to a folder, or in place, and report; return the exit status.

    `opened` is the backup if the picker has already opened it.
    """
    from packrat.restore.opened import OpenedBackup
    from packrat.restore.unlock import choose_and_unlock
    from specs.compile import compile_restore

    service = request.service
    if opened is None:
        program, chosen = choose_and_unlock(
            program, service, request.backup, request.source, request.password_file, warn
        )
        opened = OpenedBackup(service, chosen, program.keys)
    target = request.target and os.path.abspath(os.path.expanduser(request.target))
    paths = () if "" in request.paths else request.paths
    pipeline = compile_restore(
        program.config, service, opened.manifest.id, opened.source, paths, target
    )
    status = restore_and_report(pipeline, opened, as_json=as_json)
    if opened.manifest.host != program.config.host and not as_json:
        print(f"{service}: the backup is of host {printable(opened.manifest.host)}")
    return status


def restore_and_report(pipeline: Pipeline, opened: OpenedBackup, *, as_json: bool) -> int:
    """Run a restore document with a progress bar, and report; return the exit status."""
    from packrat.restore.restore import restore

    service, target = pipeline.service, pipeline.to
    try:
        with progress(service, {"gather": "restoring"}) as listener:
            restored = restore(pipeline, opened, [listener])
    except KeyboardInterrupt:
        raise Interrupted(
            f"{service}: interrupted; the same restore to {target} goes on from there"
            if target
            else f"{service}: interrupted; everything is as it was before"
        ) from None
    if as_json:
        print_json(restored_json(restored))
        return Exit.PARTIAL if restored.partial else Exit.DONE
    where = f"to {printable(restored.target)}" if target else "in place"
    print(
        f"{service}: restored {count_text(restored.files, 'file')},"
        f" {bytes_text(restored.size)}, from {restored.source} {where}"
        f" in {restored.seconds:.1f} s"
    )
    if restored.downtime_seconds is not None:
        print(f"{service}: its containers were down for {restored.downtime_seconds:.1f} s")
    if restored.replaced_folder:
        print(
            f"What was there before is in\n  {printable(restored.replaced_folder)}\n"
            f"  packrat restore --undo {service}    puts it back\n"
            f"  packrat restore --forget {service}  deletes it, as the next good backup does"
        )
    elif sys.stdout.isatty():
        print("It is a copy: the service's own files are as they were.")
    return Exit.PARTIAL if restored.partial else Exit.DONE
