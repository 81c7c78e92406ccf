"""Run of prune documents, with a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from packrat.errors import Exit
from packrat.runs.lock import service_lock
from packrat.runs.maintenance import maintain
from packrat.text.report import as_json as print_json
from packrat.text.report import bytes_text, count_text, warn
from stages.facts import Pruned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program
    from specs.pipeline import Pipeline


def prune_pipelines(pipelines: Sequence[Pipeline], program: Program, *, as_json: bool) -> int:
    """Run prune documents and report; return the exit status."""
    rows = []
    status = Exit.DONE
    for pipeline in pipelines:
        name = pipeline.service
        with service_lock(pipeline.state_dir, name, time.time()):
            outcome = maintain(pipeline, program.keys, program.cache)
        pruned = list(outcome.facts_of(Pruned))
        problems = [*map(str, outcome.failed.values()), *(p.problem for p in pruned if p.problem)]
        for problem in problems:
            warn(problem)
            status = Exit.PARTIAL
        dry_run = any(params.get("dry_run") for params in pipeline.stages.values())
        rows += [
            (name, one.destination, stored, dry_run) for one in pruned for stored in one.archives
        ]
    if as_json:
        print_json(
            [
                {
                    "service": name,
                    "destination": destination,
                    "archive": stored.name,
                    "bytes": stored.size,
                }
                for name, destination, stored, _ in rows
            ]
        )
        return status
    for _, destination, stored, dry_run in rows:
        what = "would delete" if dry_run else "deleted"
        print(f"{destination}: {what} {stored.name} ({bytes_text(stored.size)})")
    total = bytes_text(sum(stored.size for _, _, stored, _ in rows))
    print(f"{count_text(len(rows), 'archive')}, {total}" if rows else "nothing to delete")
    return status
