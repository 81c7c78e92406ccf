"""`packrat run`: run of a configuration, or of pipeline documents for any job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from typer import confirm

from packrat.errors import Exit, UsageError, worst
from packrat.notify.message import notifier
from packrat.program import DocumentProgram, Program
from packrat.restore.older import require_consent
from packrat.restore.opened import OpenedBackup
from packrat.restore.report import restore_and_report
from packrat.restore.unlock import choose_and_unlock
from packrat.runs.backups import back_up_all
from packrat.runs.prune import prune_pipelines
from packrat.runs.spec_file import is_pipeline_file, pipelines_of
from packrat.runs.verify import verify_pipelines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.pipeline import Pipeline


def run_spec(
    program: Program,
    spec: str,
    services: Sequence[str],
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Run everything in the file, or some services of it; return the exit status."""
    pipelines = pipelines_of(program, spec, services)
    backups = [pipeline for pipeline in pipelines if pipeline.job == "backup"]
    others = [pipeline for pipeline in pipelines if pipeline.job != "backup"]
    statuses: list[int] = []
    if backups or not others:
        notify = None if is_pipeline_file(spec) else notifier(program.config)
        statuses.append(back_up_all(backups, as_json=as_json, notify=notify))
    for pipeline in others:
        if pipeline.job == "restore":
            statuses.append(_restore(pipeline, yes=yes, as_json=as_json))
        else:
            statuses.append(_maintain(pipeline, as_json=as_json))
    return worst(Exit(status) for status in statuses)


def _restore(pipeline: Pipeline, *, yes: bool, as_json: bool) -> int:
    where = pipeline.to or "its own folder, in place"
    service, backup = pipeline.service, pipeline.backup or "latest"
    question = f"Restore backup {backup[:8]} of {service} to {where}?"
    if not yes and not sys.stdin.isatty():
        raise UsageError("a restore asks for confirmation; without a terminal, pass --yes")
    if not yes and not confirm(question, err=True):
        print("nothing was restored", file=sys.stderr)
        return Exit.INTERRUPTED
    program, chosen = choose_and_unlock(DocumentProgram([pipeline]), service, backup, None, None)
    opened = OpenedBackup(service, chosen, program.keys)
    require_consent(program, service, backup, opened.manifest, ask=not yes)
    return restore_and_report(pipeline, opened, as_json=as_json)


def _maintain(pipeline: Pipeline, *, as_json: bool) -> int:
    work = prune_pipelines if pipeline.job == "prune" else verify_pipelines
    return work([pipeline], DocumentProgram([pipeline]), as_json=as_json)
