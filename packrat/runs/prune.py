"""Run of prune documents, with a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.runs.catalogs import alarms_of
from packrat.runs.fates import counts_text, fates
from packrat.runs.lock import service_lock
from packrat.runs.maintenance import maintain
from packrat.runs.statements import make_statements, publish_statements
from packrat.text.alarms import alarm_text
from packrat.text.report import bytes_text, count_text, print_json, say, warn
from stages.facts import Holdings, Pruned
from vault.catalog.retention import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packrat.program import Program
    from specs.pipeline import Pipeline
    from vault.catalog.catalog import Catalog


def prune_pipelines(pipelines: Sequence[Pipeline], program: Program, *, as_json: bool) -> int:
    """Run prune documents and report; return the exit status."""
    rows: list[dict[str, Any]] = []
    kept: list[str] = []
    status, what = Exit.DONE, ""
    for pipeline in pipelines:
        name = pipeline.service
        dry_run = any(params.get("dry_run") for params in pipeline.stages.values())
        what = "would delete" if dry_run else "deleted"
        since = time.time()
        with service_lock(pipeline.state_dir, name, since):
            outcome = maintain(pipeline, program)
        pruned = list(outcome.facts_of(Pruned))
        alarms = []
        if holdings := outcome.fact(Holdings):
            catalogs = [*holdings.catalogs.values()]
            alarms = alarms_of(program, name, catalogs, since)
            if dry_run:
                kept += _kept(program, name, holdings)
            else:
                _publish_pruned(program, name, pruned, catalogs)
        problems = [*map(str, outcome.failed.values()), *(p.problem for p in pruned if p.problem)]
        problems += map(alarm_text, alarms)
        for problem in problems:
            warn(problem)
            status = Exit.PARTIAL
        for at in pruned:
            for one in at.archives:
                reason = "forgotten" if one.name in at.forgotten else Reason.EXPIRED
                where = {"service": name, "destination": at.destination}
                rows.append(where | {"archive": one.name, "bytes": one.size, "reason": reason})
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


def _kept(program: Program, service: str, holdings: Holdings) -> Iterator[str]:
    """Yield a sentence for each destination about the archives that stay there."""
    for where, decided in fates(program, service, holdings, time.time()).items():
        if stay := [fate for fate in decided if fate.stays]:
            yield f"{service} at {where} keeps {counts_text(stay)}"


def _publish_pruned(
    program: Program, service: str, pruned: Iterable[Pruned], catalogs: list[Catalog]
) -> None:
    """Publish what no destination has any more: the rules may change before the next backup.

    After a backup that is not needed, because the next manifest says what was pruned.
    """
    deleted = {(at.destination, one.name) for at in pruned for one in at.archives}
    listed = [
        ((catalog.destination.name, item.stored.name), item.summary)
        for catalog in catalogs
        for item in catalog.listed
        if item.summary
    ]
    left = {summary.id for at, summary in listed if at not in deleted}
    gone = {summary.id: summary.line for at, summary in listed if at in deleted}
    for line in {line for id_, line in gone.items() if id_ not in left}:
        ids = sorted(id_ for id_, of in gone.items() if of == line and id_ not in left)
        statements = make_statements(program, service, line, "pruned", ids, time.time())
        _, failed = publish_statements(catalogs, program.keys, statements)
        for error in failed:
            warn(str(error))
