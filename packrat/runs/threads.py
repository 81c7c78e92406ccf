"""Threads of this process that are blocked in the kernel, for messages."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

TASKS = "/proc/self/task"
UNINTERRUPTIBLE = "D"
"""State of a thread in proc(5) that no signal interrupts."""


def blocked_threads() -> list[str]:
    """Return a description of each thread that is blocked in the kernel; none without /proc."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    names[os.getpid()] = threading.main_thread().name
    blocked = []
    with suppress(OSError):
        for task in os.listdir(TASKS):
            if _read(task, "stat").rpartition(")")[2].split()[:1] == [UNINTERRUPTIBLE]:
                where = _read(task, "wchan").strip("\0\n")
                name = names.get(int(task), task)
                known = f" in {where}" if where not in ("", "0") else ""
                blocked.append(f"the kernel blocks thread {name}{known}")
    return blocked


def _read(task: str, file: str) -> str:
    """Return a file about a thread; empty if the thread has ended, or the file is not readable."""
    with suppress(OSError), open(f"{TASKS}/{task}/{file}", encoding="utf-8") as stream:
        return stream.read()
    return ""
