"""Kill trial: a daemon that is killed repeatedly, with real containers and both destinations.

Three services are due each minute, under load: one with containers of a real Docker engine, one
with a command before and after, one with only files. At random moments, half of them while a
container is down, the daemon is killed, alone or together with its jobs, as by a power cut.
Afterwards everything is compared with what it must be.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.aftermath import Aftermath
from packrat.runs.lock import is_running
from tests.helpers.containers import Engine, engine_of_its_own
from tests.helpers.daemons import Running, runs, settle
from tests.helpers.house import House
from tests.helpers.servers import S3Server, SshServer
from tests.helpers.trees import fill, noise

POLL_SECONDS = 0.2
SLOWLY = "trap 'sleep 4; exit 0' TERM; while true; do sleep 1; done"
"""Takes 4 s to stop, so that the container stopped before it is down for a while."""
PAIR = (
    "n=0; over=; trap 'over=1' TERM; while [ -z \"$over\" ]; do n=$((n+1));"
    " echo $n >/data/first; sleep 0.1; echo $n >/data/second; sleep 0.1; done"
)
"""Writes two files that are equal whenever it has ended properly, as they must be in a backup."""


@dataclass(frozen=True)
class Kill:
    """State at the moment of a kill."""

    at: float
    power: bool
    """The jobs were killed as well."""
    down: bool
    """A container was down."""
    running: tuple[float, ...]
    """Start times of the runs that went on."""


class Watch:
    """Watcher of which containers run; it records how long each was down."""

    def __init__(self, engine: Engine, names: tuple[str, ...]) -> None:
        self._engine, self._names = engine, names
        self._since: dict[str, float] = {}
        self.longest = 0.0
        self.ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def down(self) -> bool:
        """True if any of them is not running."""
        return bool(self._since)

    def _look(self) -> None:
        while not self.ended.wait(POLL_SECONDS):
            up = self._engine.docker("ps", "--format", "{{.Names}}", check=False).split()
            now = time.monotonic()
            for name in self._names:
                if name not in up:
                    self._since.setdefault(name, now)
                elif name in self._since:
                    self.longest = max(self.longest, now - self._since.pop(name))


def kills(root: Path, minutes: float, times: int) -> int:
    """Kill the daemon at random while it works; return the number of faults in what is left."""
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of_its_own())
        s3, nas = S3Server(root / "s3"), SshServer(root / "nas")
        stack.enter_context(s3.up())
        stack.enter_context(nas.up())
        house, containers = _settled(root, engine, s3, nas)
        watch = Watch(engine, containers)
        load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(load.kill)
        changing = threading.Event()
        threading.Thread(target=_change, args=(root, changing), daemon=True).start()

        begun = time.time()
        found, daemon = _killed_again_and_again(house, watch, begun, minutes, times)
        _rest_until(house, begun + 60 * minutes)
        status = daemon.stop()
        changing.set()
        watch.ended.set()
        after = Aftermath(house, s3, nas, begun, begun + 60 * minutes)
        if status:
            after.fault(f"the daemon ended with {status}")
        if not engine.running(*containers):
            after.fault("a container is down")
        if (root / "maintenance").exists():
            after.fault("the command after a backup is owed")
        print(
            f"{len(found)} kills: {sum(k.power for k in found)} with the jobs;"
            f" {sum(k.down for k in found)} while a container was down,"
            f" {sum(bool(k.running) for k in found)} while a run went on;"
            f" longest downtime {watch.longest:.1f} s"
        )
        for kill in found:
            after.require_truth_about(kill.at, kill.running, power=kill.power)
        return after.examine()


def _settled(
    root: Path, engine: Engine, s3: S3Server, nas: SshServer
) -> tuple[House, tuple[str, ...]]:
    """Create the services, their files and their containers."""
    house = House(root / "house", backup={"retain_backups": 100, "destinations": {
        "s3": s3.destination(), "nas": nas.destination("./backups")}})  # fmt: skip
    (root / "tmp").mkdir()
    for number, name in enumerate(("app", "dump", "files")):
        (root / name).mkdir()
        fill(root / name, {f"f{n}": noise(1 << 20, 100 * number + n) for n in range(3)})
    app = engine.run("app", PAIR, "-v", f"{root / 'app'}:/data")
    store = engine.run("store", SLOWLY)
    flag = root / "maintenance"
    every = {"schedule": "* * * * *", "timeout": "5m"}
    own: dict[str, dict[str, object]] = {
        "app": {"docker": {"containers": [app, store], "host": engine.host}},
        "dump": {
            "pre_backup": {"command": f"touch {flag}; date +%s%N > dump; sleep 1"},
            "post_backup": {"command": f"rm {flag}"},
        },
        "files": {},
    }
    services = {name: {"path": str(root / name)} | every | more for name, more in own.items()}
    settle(house, services=services, verify={"schedule": "*/3 * * * *", "deep_percent": 10})
    return house, (app, store)


def _killed_again_and_again(
    house: House, watch: Watch, begun: float, minutes: float, times: int
) -> tuple[list[Kill], Running]:
    env = {"TMPDIR": str(house.root.parent / "tmp")}
    daemon, found = Running(house, env=env), []
    moments = sorted(random.uniform(5, minutes * 60 - 30) for _ in range(times))
    for number, moment in enumerate(moments):
        time.sleep(max(begun + moment - time.time(), 0))
        if number % 2:  # by chance, few kills would hit while a container is down
            limit = time.time() + 90
            while not watch.down and time.time() < limit:
                time.sleep(POLL_SECONDS / 4)
            time.sleep(random.uniform(0, 5))
        power = bool(random.getrandbits(1))
        going = tuple(run["started"] for run in runs(house) if run["status"] == "running")
        kill = Kill(time.time(), power, watch.down, going)
        family = _family(house) if power else []
        daemon.kill()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        found.append(kill)
        print(
            f"{kill.at - begun:5.0f} s: killed{' with its jobs' if power else ''};"
            f" {len(going)} running{', a container down' if kill.down else ''}",
            flush=True,
        )
        time.sleep(random.uniform(0, 5))
        daemon = Running(house, env=env)
    time.sleep(max(begun + minutes * 60 - time.time(), 0))
    return found, daemon


def _family(house: House) -> list[int]:
    """Return the processes that work for this configuration, and their descendants."""
    parents, found = {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if str(house.config_file).encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _rest_until(house: House, last: float) -> None:
    """Wait until each service has run up to the last instant, and none is running."""
    limit = time.time() + 240
    while time.time() < limit:
        seen = {
            run["service"]
            for run in runs(house)
            if run["status"] == "done" and run["scheduled"] >= last // 60 * 60
        }
        names = ("app", "dump", "files", ".verify")
        if len(seen) == 3 and not any(is_running(str(house.state), name) for name in names):
            return
        time.sleep(POLL_SECONDS)


def _change(root: Path, ended: threading.Event) -> None:
    number = 1000
    while not ended.wait(1):
        for name in ("app", "dump", "files"):
            fill(root / name, {f"f{number % 3}": noise(1 << 20, number)})
            number += 1
