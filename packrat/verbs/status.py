"""`packrat status`: the state of each service."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.runs.history import History
from packrat.runs.status import CLOCK_SECONDS, is_well, service_rows
from packrat.text.report import bytes_text, print_json, table, time_text
from vault.archive.format import unstamp

if TYPE_CHECKING:
    from packrat.program import Program


def show_status(program: Program, *, as_json: bool) -> int:
    """Print the status; return DONE if all is well, else PARTIAL."""
    config, now = program.config, time.time()
    with closing(History(config.state_dir)) as history:
        rows = service_rows(config, history, now)
    if as_json:
        print_json(rows)
    else:
        table(
            ["SERVICE", "LAST", "RESULT", "NEXT", "NEWEST AT", "VERIFIED", "STOPS"],
            [_cells(row, now) for row in rows],
            drop=["STOPS", "VERIFIED"],
        )
    return Exit.DONE if all(map(is_well, rows)) else Exit.PARTIAL


def _cells(row: dict[str, Any], now: float) -> list[str]:
    last, running = row["last"], row["running"]
    result = last["status"] if last else "never ran"
    if running:
        stage = f" ({running['stage']}, {bytes_text(running['bytes'])})" if running["stage"] else ""
        result = f"runs now{stage}"
    elif row["overdue"]:
        result += ", overdue"
    places = [
        f"{place} {_age(at['newest'], now)}" + ", damaged" * bool(at["damaged"])
        for place, at in row["destinations"].items()
    ]
    return [
        row["service"],
        time_text(last["started"])[:-3] if last else "-",
        result,
        _next(row["next"], now),
        "; ".join(places),
        time_text(row["verified"])[:10] if row["verified"] else "never",
        ", ".join(row["containers"]) or "-",
    ]


def _next(when: str | None, now: float) -> str:
    if when is None:
        return "by hand"
    return time_text(when)[:-3] if unstamp(when) > now else "is due"


def _age(when: str | None, now: float) -> str:
    if when is None:
        return "never"
    if unstamp(when) > now + CLOCK_SECONDS:
        return f"dated {time_text(when)[:-3]}, in the future"
    seconds = max(now - unstamp(when), 0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
