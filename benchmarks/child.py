"""Run one command and write what it cost: `child.py FIGURES COMMAND…`.

A process of its own, for a child begins as a copy of its parent: the most that a benchmark has had
in memory would count as the command's.
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
    """The most memory that a process and all below it have at once, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.bytes = 0

    def run(self) -> None:
        """Look now and then."""
        while True:
            self.bytes = max(self.bytes, sum(map(proportional, family(self.pid))))
            time.sleep(LOOK_SECONDS)


def family(pid: int) -> list[int]:
    """Give a process and all below it."""
    below: list[str] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            below += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    return [pid, *(process for child in below for process in family(int(child)))]


def proportional(pid: int) -> int:
    """Give the bytes of memory of a process, of shared pages its share."""
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
    memory = max(peak.bytes, usage.ru_maxrss * 1024)  # of the largest one, and seen by the kernel
    with open(figures, "w", encoding="utf-8") as file:
        json.dump([wall, usage.ru_utime + usage.ru_stime, memory], file)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)
