"""Run one command and write what it cost: `child.py FIGURES COMMAND…`.

A process of its own, for a child begins as a copy of its parent: the most that a benchmark has had
in memory would count as the command's.
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    figures, *command = sys.argv[1:]
    begun = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    with open(figures, "w", encoding="utf-8") as file:
        json.dump([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024], file)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)
