"""State of the daemon, seen from other processes: its lock, and when it was last alive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packrat.runs.lock import is_running
from packrat.text.report import minute_text

if TYPE_CHECKING:
    from packrat.runs.history import History

DAEMON = ".daemon"
"""Name of its lock; no service name begins with a dot."""
RUNS = 100
"""Newest runs among which one of the daemon is looked for."""


def daemon_absence(state_dir: str, history: History) -> str:
    """Return since when no daemon runs, to continue a sentence; "" while one runs."""
    if is_running(state_dir, DAEMON):
        return ""
    try:
        lock = os.stat(os.path.join(state_dir, "locks", f"{DAEMON}.lock"))
    except OSError:
        return " and was never started"
    if not lock.st_size:  # emptied when it ends in order
        return f" since {minute_text(lock.st_mtime)}"
    # One that was killed was last seen when it started, or when a run of its ended.
    ends = [past.ended for past in history.runs(last=RUNS) if past.by == "daemon" and past.ended]
    return f"; last seen {minute_text(max([lock.st_mtime, *ends]))}"
