"""What the daemon must show, for real: `python -m benchmarks.daemon kills|idle [MINUTES]`.

`kills`: three services each minute to S3 and SFTP under load, the daemon killed at random and
started again. Each instant must have one good run or be covered by a later one, and no litter stay.
`idle`: what a daemon with a thousand services costs.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.daemons import Running, runs, settle
from tests.helpers.house import House
from tests.helpers.servers import S3Server, SshServer
from tests.helpers.trees import fill, noise

SERVICES = ("one", "two", "three")


def kills(root: Path, minutes: float, times: int) -> None:
    """Kill the daemon at random while it works, and look at what is left."""
    with ExitStack() as stack:
        s3, nas = S3Server(root / "s3"), SshServer(root / "nas")
        stack.enter_context(s3.up())
        stack.enter_context(nas.up())
        house = House(root / "house", backup={"retain_backups": 50, "destinations": {
            "s3": s3.destination(), "nas": nas.destination("./backups")}})  # fmt: skip
        services = {}
        for number, name in enumerate(SERVICES):
            source = root / name
            source.mkdir()
            fill(source, {f"f{n}": noise(1 << 20, 100 * number + n) for n in range(3)})
            services[name] = {"path": str(source), "schedule": "* * * * *", "timeout": "5m"}
        settle(house, services=services)
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(1)]
        for one in load:
            stack.callback(one.kill)
        changing = threading.Event()
        threading.Thread(target=_change, args=(root, changing), daemon=True).start()
        begun = time.time()
        daemon = Running(house)
        moments = sorted(random.uniform(5, minutes * 60 - 40) for _ in range(times))
        for moment in moments:
            time.sleep(max(begun + moment - time.time(), 0))
            daemon.kill()
            print(f"{time.time() - begun:5.0f} s: killed")
            time.sleep(random.uniform(0, 5))
            daemon = Running(house)
        time.sleep(max(begun + minutes * 60 - time.time(), 0))
        time.sleep(30)  # what is due may end
        status = daemon.stop()
        changing.set()
        _report(house, begun, status)


def _change(root: Path, ended: threading.Event) -> None:
    number = 1000
    while not ended.wait(1):
        for name in SERVICES:
            fill(root / name, {f"f{number % 3}": noise(1 << 20, number)})
            number += 1


def _report(house: House, begun: float, status: int) -> None:
    found = runs(house)
    print(f"daemon ended with {status}; {len(found)} runs")
    for name in SERVICES:
        own = [run for run in found if run["service"] == name]
        ended = [run for run in own if run["status"] in ("done", "partial", "failed")]
        instants = [run["scheduled"] for run in ended]
        words = {word: sum(run["status"] == word for run in own) for word in
                 ("done", "partial", "failed", "interrupted", "killed", "running")}  # fmt: skip
        wanted = {
            60 * m for m in range(int(begun // 60) + 1, int(max(instants, default=begun) // 60) + 1)
        }
        covered = {w for w in wanted if any(i >= w for i in instants)}
        print(
            f"{name}: {words}; instants {len(wanted)}, run {len(set(instants))}, "
            f"twice {len(instants) - len(set(instants))}, never seen to {len(wanted - covered)}"
        )
        for run in ended:
            if run["status"] != "done":
                print("   ", run["status"], run["error"])
    verdicts = house.json("verify")
    print(f"verify: {len(verdicts)} archives, bad: {[v for v in verdicts if v['status'] != 'ok']}")
    print(f"litter: {house.litter()}")


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
            kills(Path(folder), float(more[0]) if more else 10, int(more[1]) if more[1:] else 10)
        else:
            idle(Path(folder), 60 * float(more[0]) if more else 120)
