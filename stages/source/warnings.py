"""Warnings about a source: signs that its backup may be worth less than it seems."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.run import Run
    from stages.source.walk import Found
    from vault.archive.format import Entry

LIVE = {
    "postmaster.pid": "PostgreSQL",
    "aria_log_control": "MariaDB",
    "ib_logfile0": "MySQL",
    "ibdata1": "MySQL",
    "mongod.lock": "MongoDB",
    "appendonly.aof": "Redis",
    "appendonly.aof.manifest": "Redis",
}
"""File that identifies a possibly running database -> its name."""
TICK_NS = 10_000_000
"""File times come from the last tick of the kernel's clock, which is at most this long ago."""
SMALL_BYTES = 4096
"""Shrinking of a dump smaller than this means nothing."""
MOST = 5
"""Warnings of one kind; more would add nothing."""


class SourceWarnings:
    """Checker of files as they are found, which warns about each kind of problem once per file."""

    def __init__(self, run: Run, dumping: int | None) -> None:
        """Compare times with `dumping`, the start of the dump in nanoseconds since 1970."""
        self._run = run
        self._dumping = dumping
        self._said: set[str] = set()

    def look(self, found: Found) -> None:
        """Check any file in the tree of a service that is not at rest."""
        if found.name in LIVE or (found.name.endswith("-wal") and found.stat.st_size):
            self._database(LIVE.get(found.name, "SQLite"), found)

    def look_at_new(self, found: Found, before: Entry | None) -> None:
        """Check a file that is new or has changed; `before` is the parent's entry."""
        state = found.stat
        if self._dumping is None or not stat.S_ISREG(state.st_mode):
            return
        if state.st_mtime_ns < self._dumping - TICK_NS:
            return
        if not state.st_size:
            self._warn(f"{found.path!r} is empty, and was written by pre_backup or since")
        elif before and before.size >= SMALL_BYTES and state.st_size < before.size / 2:
            self._warn(
                f"{found.path!r} has {state.st_size:,} bytes, in the last backup it had"
                f" {before.size:,}: is the dump complete?"
            )

    def _database(self, what: str, found: Found) -> None:
        if what in self._said or not stat.S_ISREG(found.stat.st_mode):
            return
        self._said.add(what)
        self._run.warn(
            f"{found.path!r} belongs to a {what} database, which may be running: its files may not"
            " fit together. Stop it with docker: {container: …}, or dump it with pre_backup"
        )

    def _warn(self, text: str) -> None:
        if len(self._said) < MOST:
            self._said.add(text)
            self._run.warn(text)
