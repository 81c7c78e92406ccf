"""`packrat status`: the state of each service, or of one in full."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any

from packrat.errors import Exit, Unusable
from packrat.program import Program, log_file
from packrat.runs.daemon_state import daemon_absence
from packrat.runs.history import History
from packrat.runs.status import is_well, service_rows
from packrat.text.alarms import accept_hint
from packrat.text.replaced import replaced_document, replaced_texts
from packrat.text.report import minute_text, print_json, say, table, time_text, warn
from packrat.text.service_state import age_text, full_lines, next_text, result_text
from specs.faults import printable
from specs.trust import trusted_uids, user_name
from stages.in_place.replaced import replaced_by


def show_status(program: Program, service: str | None, *, as_json: bool) -> int:
    """Print the status; return DONE if all is well, else PARTIAL."""
    config, now = program.config, time.time()
    services = program.services([service]) if service else list(config.services)
    _check_owner(program)
    with closing(History(config.state_dir)) as history:
        rows = [row for row in service_rows(config, history, now) if row["service"] in services]
        absence = daemon_absence(config.state_dir, history)
    for row in rows:
        of, log = config.services[row["service"]], log_file(config.state_dir, row["service"])
        row |= {"path": next(iter(of.folders), None), "set_aside": []}
        row["log"] = log if os.path.exists(log) else None
        row["replaced"] = []
        for one in replaced_by(config.state_dir, row["service"], of.folders):
            row["set_aside"].append(one.folder)
            row["replaced"].append(replaced_document(one, config.keep_replaced_of(of)))
        row["reads"] = of.reads.named
    if as_json:
        print_json(rows)
    else:
        _print_daemon(absence, rows)
        if service:
            _print_in_full(rows[0], now)
        else:
            _print_table(rows, now)
    return Exit.DONE if all(map(is_well, rows)) and not program.faults else Exit.PARTIAL


def _check_owner(program: Program) -> None:
    """Warn if this is probably another user's state; raises Unusable if it cannot be read."""
    state, caller = program.config.state_dir, os.geteuid()
    if os.path.exists(state) and not os.access(state, os.R_OK | os.X_OK):
        other = user_name(os.stat(state).st_uid)
        raise Unusable(
            f"state folder {state} belongs to {other}, and {user_name(caller)} cannot read it",
            "run packrat status as that user, for example with sudo",
        )
    owner = os.stat(program.file).st_uid
    shared = os.path.exists(state) and os.stat(state).st_uid == owner
    deliberate = caller == 0 and owner in trusted_uids(behind_sudo=False)
    if owner != caller and not shared and not deliberate:
        warn(
            f"this is the state of {user_name(caller)} in {state}, but the configuration belongs to"
            f" {user_name(owner)}; if backups run as that user, run packrat status as that user"
        )


def _print_daemon(absence: str, rows: list[dict[str, Any]]) -> None:
    """Print that no daemon runs, if anything has a schedule."""
    names = [row["service"] for row in rows if row["schedule"]]
    if not absence or not names:
        return
    say(f"daemon: NOT RUNNING{absence}")
    say(f"    not backed up on schedule: {', '.join(names)}")
    say("    start it with: systemctl start packrat, or packrat daemon")


def _print_table(rows: list[dict[str, Any]], now: float) -> None:
    table(
        ["SERVICE", "LAST", "RESULT", "NEXT", "NEWEST AT", "VERIFIED", "STOPS"],
        [_cells(row, now) for row in rows],
        drop=["STOPS", "VERIFIED"],
    )
    for row in rows:
        if (last := row["last"]) and (error := last["error"]):
            named = error.startswith(last["status"])  # "interrupted; …"
            text = error if named else f"{last['status']}: {error}"
            say(printable(f"{row['service']}: {text}"))
        for alarm in row["alarms"]:
            say(printable(f"{alarm['text']}{accept_hint(row['service'])}"))
        for text, folders in replaced_texts(row["replaced"], now):
            say(f"{row['service']}: {text}")
            for folder in folders:
                say(printable(f"    {folder}"))


def _cells(row: dict[str, Any], now: float) -> list[str]:
    last = row["last"]
    places = [
        f"{place} {age_text(at['newest'], now)}" + ", damaged" * bool(at["damaged"])
        for place, at in row["destinations"].items()
    ]
    return [
        row["service"],
        minute_text(last["started"]) if last else "-",
        result_text(row),
        next_text(row, now),
        "; ".join(places),
        time_text(row["verified"])[:10] if row["verified"] else "never",
        ", ".join(row["containers"]) or "-",
    ]


def _print_in_full(row: dict[str, Any], now: float) -> None:
    print(row["service"])
    lines = list(full_lines(row, now))
    width = max(len(heading) for heading, _ in lines)
    for heading, text in lines:
        say(printable(f"  {heading:<{width}}  {text}"))
