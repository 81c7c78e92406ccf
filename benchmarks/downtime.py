"""Downtime of a container: Packrat, and other ways to copy its files meanwhile.

The trial uses a real Docker engine, an image made here, and the tree bind-mounted into the
container.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import tree
from benchmarks.report import verdict
from tests.helpers.containers import Engine, engine_of_its_own

NAME = "bench"
FILES = 300_000
MORE_THAN_EMPTY = 1.0
"""Most seconds beyond an empty stop and start."""
LESS_THAN_RSYNC = 0.5
STALLED = "4 MiB/s"
"""Rate of a destination so slow that the spool's budget is used up before the stop."""
PACKRAT, RSYNC, EMPTY = "packrat", "rsync -a, second run", "nothing"


def measure(work: Path, source: Path, rounds: int, *, quick: bool) -> dict[str, object]:
    """Measure the tree of the other benchmarks, and one of many small files."""
    work.mkdir(parents=True, exist_ok=True)
    many = tree.build_small(work / "many", FILES // 100 if quick else FILES)
    with engine_of_its_own() as engine:
        figures = {
            "tree": of_tree(engine, source, work, rounds, tree.change),
            "many files": of_tree(engine, many, work, 1, touch_some),
            "stalled destination": stalled(engine, source, work),
        }
    found, empty = (median(figures["tree"][way]) for way in (PACKRAT, EMPTY))
    print(verdict("downtime beyond an empty stop and start, s", found - empty, MORE_THAN_EMPTY))
    rsync = median(figures["tree"][RSYNC])
    print(verdict("downtime / stop, rsync, start", found / rsync, LESS_THAN_RSYNC))
    late = median(figures["stalled destination"][PACKRAT])
    print(verdict("with a stalled destination, beyond empty, s", late - empty, MORE_THAN_EMPTY))
    return dict(figures)


def of_tree(
    engine: Engine, source: Path, work: Path, rounds: int, change: Callable[[Path, int], int]
) -> dict[str, list[float]]:
    """Back up one tree in each way, after one percent of its files has changed."""
    files, _ = tree.warm(source)
    print(f"{files:,} files in {source}")
    ways = {
        EMPTY: ["true"],
        RSYNC: ["rsync", "-a", "--delete", f"{source}/", str(work / "copy")],
        "tar | zstd": ["bash", "-c", f"tar -C {source} -c . | zstd -3 -T0 > {work}/all.tar.zst"],
        "tar.gz": ["tar", "-C", str(source), "-czf", str(work / "all.tar.gz"), "."],
    }
    config = configure(work, engine, source)
    engine.run(NAME, "sleep 100000 & wait", "-v", f"{source}:/data")
    subprocess.run(ways[RSYNC], check=True)
    back_up(config)
    found: defaultdict[str, list[float]] = defaultdict(list)
    try:
        for number in range(1, rounds + 1):
            for way, command in ways.items():
                change(source, number)
                # it takes a minute, and more rounds show nothing new
                if way != "tar.gz" or number == 1:
                    found[way].append(stopped_meanwhile(engine, command))
            change(source, number + 100)
            found[PACKRAT].append(back_up(config))
    finally:
        engine.docker("rm", "-f", NAME)
        shutil.rmtree(work / "copy", ignore_errors=True)
    for way, seconds in sorted(found.items(), key=lambda one: median(one[1])):
        print(f"  down for {median(seconds):7.2f} s  {way}", flush=True)
    return found


def stalled(engine: Engine, source: Path, work: Path) -> dict[str, list[float]]:
    """Back up to a destination that has almost stalled, with a spool that is soon full."""
    slow = {"type": "local", "path": "/dev/shm/packrat-bench", "limit": STALLED}
    # An earlier run's state knows a destination that is gone, which looks like an unmounted disk.
    shutil.rmtree(work / f"packrat-stalled-{source.name}", ignore_errors=True)
    spool = {"max_size": "2 MiB", "min_free": 0}
    first = configure(work, engine, source, slow=slow | {"limit": None}, name="stalled")
    engine.run(NAME, "sleep 100000 & wait", "-v", f"{source}:/data")
    try:
        back_up(first)
        config = configure(work, engine, source, slow=slow, spool=spool, name="stalled")
        tree.change(source, 500)
        seconds = back_up(config)
    finally:
        engine.docker("rm", "-f", NAME)
        shutil.rmtree("/dev/shm/packrat-bench", ignore_errors=True)
    print(f"  down for {seconds:7.2f} s  packrat, its destination stalled and its spool full")
    return {PACKRAT: [seconds]}


def stopped_meanwhile(engine: Engine, command: list[str]) -> float:
    """Stop, run the command and start, as other tools do; return the downtime in seconds."""
    begun = time.perf_counter()
    engine.docker("stop", NAME)
    subprocess.run(command, check=True)
    engine.docker("start", NAME)
    return time.perf_counter() - begun


def configure(
    work: Path, engine: Engine, source: Path, name: str = "plain", **more: object
) -> Path:
    """Write a separate configuration; return the file."""
    home = work / f"packrat-{name}-{source.name}"
    home.mkdir(exist_ok=True)
    place = more.pop("slow", {"type": "local", "path": str(home / "store")})
    place = {key: value for key, value in dict(place).items() if value}  # type: ignore[call-overload]
    document = {
        "encryption": {"key_file": str(home / "key")},
        "state_dir": str(home / "state"),
        "services": {
            "bench": {
                "path": str(source),
                "docker": {"container": NAME, "host": engine.host},
                "retain_backups": 2,
            }
        },
        "backup": {"destinations": {"there": place}},
    } | more
    (home / "packrat.yaml").write_text(json.dumps(document))
    (home / "password").write_text("correct horse battery staple\n")
    if not (home / "key").exists():
        packrat(home / "packrat.yaml", "init", "--password-file", str(home / "password"))
    return home / "packrat.yaml"


def back_up(config: Path) -> float:
    """Back up; return the downtime in seconds."""
    [result] = json.loads(packrat(config, "backup", "bench", "--json"))
    if result["status"] != "done":
        sys.exit(result["error"])
    return float(result["downtime_seconds"])


def packrat(config: Path, *words: str) -> str:
    """Run the program; return its output."""
    command = [sys.executable, "-m", "packrat", "-c", str(config), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def touch_some(folder: Path, turn: int) -> int:
    """Rewrite one percent of many small files."""
    files = sorted(folder.rglob("*.txt"))[turn % 100 :: 100]
    for path in files:
        path.write_bytes(f"{turn}".encode() * 200)
    time.sleep(tree.SETTLE)
    return len(files)
