"""`packrat history`: past runs, the newest first."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.runs.history import History, PastRun
from packrat.runs.result import upkeep_text
from packrat.text.report import bytes_text, print_json, table, time_text
from vault.archive.format import stamp

if TYPE_CHECKING:
    from packrat.program import Program


def show_history(program: Program, service: str | None, last: int, *, as_json: bool) -> int:
    """Print past runs, the newest first; return the exit status."""
    with closing(History(program.config.state_dir)) as history:
        runs = history.runs(service, last)
    if service and not runs:  # the runs of one that left the configuration stay
        program.services([service])
    if as_json:
        print_json([_stamped(run.json()) for run in runs])
        return Exit.DONE
    if not runs:
        print("no runs yet")
        return Exit.DONE
    table(
        ["SERVICE", "STARTED", "BY", "RESULT", "ID", "SECONDS", "READ", "STORED", "DOWN"],
        [_past_cells(run) for run in runs],
        right=["SECONDS", "READ", "STORED", "DOWN"],
        drop=["DOWN", "BY", "READ", "ID", "SECONDS"],
        below=[_below(run.document) for run in runs],
    )
    return Exit.DONE


def _below(document: dict[str, Any]) -> str:
    said = [document["error"]] if document.get("error") else []
    said += document.get("alarms") or []
    return "; ".join(said) or upkeep_text(document).removeprefix("; ")


def _past_cells(run: PastRun) -> list[str]:
    document = run.document
    seconds, down = document.get("seconds"), document.get("downtime_seconds")
    return [
        run.service.removeprefix("."),
        time_text(stamp(run.started)),
        run.by or "hand",
        run.status,
        document.get("id") or "-",
        "-" if seconds is None else f"{seconds:.1f}",
        bytes_text(document.get("read") or 0),
        bytes_text(document.get("stored") or 0),
        "-" if down is None else f"{down:.1f}",
    ]


def _stamped(row: dict[str, Any]) -> dict[str, Any]:
    times = {key: row[key] for key in ("scheduled", "started", "ended")}
    return row | {key: stamp(t) if t is not None else None for key, t in times.items()}
