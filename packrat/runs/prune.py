"""Run of prune documents, with a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.runs.fates import counts_text, fates, policies
from packrat.runs.lock import service_lock
from packrat.runs.maintenance import maintain
from packrat.text.report import bytes_text, count_text, print_json, say, warn
from stages.facts import Holdings, Pruned
from vault.catalog.retention import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program
    from specs.pipeline import Pipeline


def prune_pipelines(pipelines: Sequence[Pipeline], program: Program, *, as_json: bool) -> int:
    """Run prune documents and report; return the exit status."""
    rows: list[dict[str, Any]] = []
    kept: list[str] = []
    status, what = Exit.DONE, ""
    for pipeline in pipelines:
        name = pipeline.service
        dry_run = any(params.get("dry_run") for params in pipeline.stages.values())
        what = "would delete" if dry_run else "deleted"
        with service_lock(pipeline.state_dir, name, time.time()):
            outcome = maintain(pipeline, program.keys, program.cache)
        pruned = list(outcome.facts_of(Pruned))
        if dry_run and (holdings := outcome.fact(Holdings)):
            for where, decided in fates(policies(pipeline), holdings, time.time()).items():
                if stay := [fate for fate in decided if fate.stays]:
                    kept.append(f"{name} at {where} keeps {counts_text(stay)}")
        problems = [*map(str, outcome.failed.values()), *(p.problem for p in pruned if p.problem)]
        for problem in problems:
            warn(problem)
            status = Exit.PARTIAL
        for at in pruned:
            row: dict[str, Any] = {"service": name, "destination": at.destination}
            rows += [
                row | {"archive": one.name, "bytes": one.size, "reason": reason}
                for one in at.archives
                for reason in ["forgotten" if one.name in at.forgotten else Reason.EXPIRED]
            ]
    if as_json:
        print_json(rows)
        return status
    for row in rows:
        size = bytes_text(row["bytes"])
        say(f"{row['destination']}: {what} {row['archive']} ({size}): {row['reason']}")
    for line in kept:
        say(line)
    total = bytes_text(sum(row["bytes"] for row in rows))
    say(f"{count_text(len(rows), 'archive')}, {total}" if rows else "nothing to delete")
    return status
