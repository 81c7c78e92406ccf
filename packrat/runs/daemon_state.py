"""State of the daemon, seen from other processes: its lock, and when it was last alive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from packrat.runs.lock import is_running

if TYPE_CHECKING:
    from packrat.runs.history import History

DAEMON = ".daemon"
"""Name of its lock; no service name begins with a dot."""
RUNS = 100
"""Newest runs among which one of the daemon is looked for."""


class DaemonState(Struct, frozen=True):
    """State of the daemon of a state folder."""

    running: bool
    ended: float | None = None
    """When it ended in order, in seconds since 1970."""
    seen: float | None = None
    """When one that was killed was last seen: it started, or a run of its ended."""


def daemon_state(state_dir: str, history: History) -> DaemonState:
    """Return the state of the daemon."""
    if is_running(state_dir, DAEMON):
        return DaemonState(True)
    try:
        lock = os.stat(os.path.join(state_dir, "locks", f"{DAEMON}.lock"))
    except OSError:
        return DaemonState(False)
    if not lock.st_size:  # emptied at its end
        return DaemonState(False, ended=lock.st_mtime)
    ends = [past.ended for past in history.runs(last=RUNS) if past.by == "daemon" and past.ended]
    return DaemonState(False, seen=max([lock.st_mtime, *ends]))
