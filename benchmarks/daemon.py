"""Real-time trials of the daemon: `python -m benchmarks.daemon kills|idle [MINUTES]`.

- `kills`: see benchmarks/kills.py; it needs root, for a Docker engine of its own.
- `idle`: the cost of a daemon with a thousand services.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.kills import kills
from tests.helpers.daemons import Running, settle
from tests.helpers.house import House


def idle(root: Path, seconds: float) -> None:
    """Measure a daemon with a thousand services that has nothing to do."""
    house = House(root)
    far = (time.gmtime().tm_hour + 12) % 24
    services = {
        f"s{n}": {"path": str(house.source), "schedule": f"{n % 60} {far} * * *"}
        for n in range(1000)
    }
    settle(house, services=services)
    with Running(house) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said, 60)
        time.sleep(5)
        before = _cpu(daemon.process.pid)
        time.sleep(seconds)
        used = _cpu(daemon.process.pid) - before
        memory = Path(f"/proc/{daemon.process.pid}/status").read_text()
        [rss] = [line.split()[1] for line in memory.splitlines() if line.startswith("VmRSS")]
        print(f"idle: {100 * used / seconds:.3f}% of a core, {int(rss) / 1024:.0f} MiB RSS")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    what, *more = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="packrat-daemon-") as folder:
        if what == "kills":
            minutes, times = float(more[0]) if more else 10, int(more[1]) if more[1:] else 10
            sys.exit(1 if kills(Path(folder), minutes, times) else 0)
        else:
            idle(Path(folder), 60 * float(more[0]) if more else 120)
