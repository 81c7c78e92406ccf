"""Wrapper that runs one command and writes its cost: `child.py FIGURES COMMAND…`.

It is a separate process because a child begins as a copy of its parent: the peak memory of the
benchmark would otherwise count as the command's.
"""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.2


class Peak(threading.Thread):
    """Peak memory of a process and all its descendants, with shared pages counted once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.bytes = 0

    def run(self) -> None:
        """Sample the memory at intervals."""
        while True:
            self.bytes = max(self.bytes, sum(map(proportional, family(self.pid))))
            time.sleep(LOOK_SECONDS)


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    below: list[str] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            below += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    return [pid, *(process for child in below for process in family(int(child)))]


def proportional(pid: int) -> int:
    """Return the memory of a process in bytes, with its share of shared pages."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    figures, *command = sys.argv[1:]
    begun = time.perf_counter()
    process = subprocess.Popen(command)
    peak = Peak(process.pid)
    peak.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    # of the largest process, as the kernel sees it
    memory = max(peak.bytes, usage.ru_maxrss * 1024)
    with open(figures, "w", encoding="utf-8") as file:
        json.dump([wall, usage.ru_utime + usage.ru_stime, memory], file)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)
