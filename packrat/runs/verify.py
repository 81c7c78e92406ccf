"""Run of verify documents, with progress bars and a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.runs.catalogs import alarms_of
from packrat.runs.maintenance import maintain
from packrat.text.progress import Detail, progress
from packrat.text.report import print_json, warn
from packrat.text.verdicts import print_verdicts, row_of, with_alarms, with_dumps
from stages.facts import DumpsProven, Holdings, Verified
from stages.prove_dumps import ProveDumps
from stages.verify import Verify
from vault.catalog.prover import Depth
from vault.catalog.verdict import Status, superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from packrat.program import Program
    from specs.pipeline import Pipeline

HOW = {
    Depth.CHUNKS: "every byte",
    Depth.FRAMES: "every frame",
    Depth.SAMPLES: "both ends, the index and samples",
}


def verify_pipelines(
    pipelines: Sequence[Pipeline],
    program: Program,
    *,
    as_json: bool,
    detail: Detail = Detail.NORMAL,
    asked_all: bool = True,
    report: Callable[[list[dict[str, Any]]], None] = lambda _: None,
) -> int:
    """Run verify documents and report; return the exit status. Raises Away if no store answers.

    `report` is called with the rows, to notify what is damaged; `asked_all` says whether the
    documents have all destinations.
    """
    rows: list[dict[str, Any]] = []
    old: dict[str, list[str]] = {}
    failed: list[BaseException] = []
    answered = False
    depths = {Depth.SAMPLES}
    for pipeline in pipelines:
        since = time.time()
        stages = [name for name in pipeline.stages if name != "survey"]
        depths = {n.stage.depth for n in pipeline.graph().order if isinstance(n.stage, Verify)}
        titles = {name: _title(pipeline.stages[name]) for name in stages}
        with progress(pipeline.service, titles, detail=detail) as listener:
            outcome = maintain(pipeline, program, [listener])
        holdings = outcome.fact(Holdings)
        answered |= bool(holdings and holdings.catalogs)
        failed += outcome.failed.values()
        verdicts = [one for each in outcome.facts_of(Verified) for one in each.verdicts]
        found = [row_of(pipeline.service, verdict) for verdict in verdicts]
        for proven in outcome.facts_of(DumpsProven):
            found = with_dumps(found, proven)
        rows += found
        if holdings:
            catalogs = [*holdings.catalogs.values()]
            old[pipeline.service] = superseded(catalogs, verdicts)
            alarms = alarms_of(program, pipeline.service, catalogs, since, asked_all=asked_all)
            rows = with_alarms(rows, alarms)
    if failed and not answered:
        raise failed[0]
    for error in failed:
        warn(str(error))
    if as_json:
        print_json(rows)
    elif rows:
        how = f" ({', '.join(HOW[depth] for depth in depths)} read)"
        print_verdicts(rows, detail, how, old)
    elif detail is not Detail.QUIET:
        print("no backups yet: nothing to verify")
    report(rows)
    return exit_of((row["status"] for row in rows), Exit.PARTIAL if failed else Exit.DONE)


def _title(stage: Mapping[str, Any]) -> str:
    what = "reading the dumps at" if stage["kind"] == ProveDumps.kind else "verifying"
    return f"{what} {stage.get('destination', '')}"


def exit_of(statuses: Iterable[str], status: Exit = Exit.DONE) -> Exit:
    """Return the exit status for the statuses of verdicts; `status` if all are good."""
    found = set(statuses)
    if found & {Status.DAMAGED, Status.MISSING}:
        return Exit.FAILED
    return Exit.PARTIAL if Status.UNREADABLE in found else status
