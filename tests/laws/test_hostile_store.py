"""Law 6: a destination may fail, hang or lie in any way, and the others get every backup.

Each seed is a process, in which a service is backed up five times to a good destination and a
hostile one. `make soak` runs a thousand seeds.
"""

import io
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from packrat.errors import Exit
from packrat.runs.backup import back_up
from tests.helpers.forked import ended, forked
from tests.helpers.hostile_store import WORLDS, World
from tests.helpers.house import House
from tests.helpers.sampling import sample
from tests.helpers.trees import differences
from vault.catalog.prover import Depth
from vault.catalog.retention import Policy, bases
from vault.catalog.rules import Rules
from vault.catalog.verdict import Status
from vault.catalog.verify import Verifier
from vault.store import calls, fs, retrying

RUNS, KEEP = 5, 2
PATIENCE_SECONDS = 0.05
RUN_SECONDS = 10
"""Limit of one run: the sum of its calls, each of which may hang for its patience, twice."""
MEMORY_MB = 200
"""Most that a trial adds to the 100 MB of a process that has loaded everything."""
SAMPLE = 25


def trial(root, seed):
    """Back up to both destinations some times; assert what the good one must have."""
    calls.PATIENCE_SECONDS, calls.SLOWEST_RATE = PATIENCE_SECONDS, 1 << 30
    calls.GLANCE_SECONDS = retrying.BACKOFF_SECONDS = 0.01
    fs.LIST_SECONDS, fs.MOST_FILES = 1.0, 20_000
    memory = memory_mb("VmRSS")
    world = WORLDS[str(seed)] = World(seed, root / "evil")
    world.folder.mkdir()
    house = House(
        root,
        ("good",),
        backup={
            "retain_backups": KEEP,
            "destinations": {
                "good": {"type": "local", "path": str(root / "store" / "good")},
                ("evil", "hostile")[seed % 2]: {
                    "type": "fsspec",
                    "url": f"hostile://{seed}/packrat",
                },
            },
        },
    )
    chance = random.Random(seed)
    for number in range(RUNS):
        for name in chance.sample("abcdefgh", 3):
            (house.source / name).write_bytes(chance.randbytes(chance.randrange(200_000)))
        begun = time.monotonic()
        result = back_up(house.pipeline())
        seconds = time.monotonic() - begun
        said = f"seed {seed}, run {number}, {world.kinds}: {result}"
        assert seconds < RUN_SECONDS, said
        assert result.destinations.get("good", {}).get("status") == "done", said
        assert result.exit in (Exit.DONE, Exit.PARTIAL), said
        assert house.catalog("good").backups[-1].summary.id[:8] == result.id, said
    catalog = house.catalog("good")
    assert len(catalog.backups) >= KEEP
    expired = bases(catalog, Policy(Rules(last=KEEP), "here"), house.program.record.pruned("svc"))
    verdicts = Verifier(catalog, house.program.keys, Depth.CHUNKS, bases=expired).verify()
    bad = [one for one in verdicts if one.status is not Status.GOOD]
    assert not bad, f"seed {seed}, {world.kinds}: {bad}"
    different = differences(house.source, house.restore())
    assert different == [], f"seed {seed}: {different}"
    memory = memory_mb("VmHWM") - memory
    assert memory < MEMORY_MB, f"seed {seed}, {world.kinds}: {memory:.0f} MB"
    return world, memory


def memory_mb(what):
    """Return a line of this process's status in MB."""
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith(what)]
    return int(line.split()[1]) / 1024


def in_a_process(seed):
    """Run a trial in a child, on a disk in memory; assert that it succeeds in time."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = Path(folder)
        output = open(root / "output", "wb", buffering=0)  # noqa: SIM115 (the child's to close)

        def work():
            sys.stdout = sys.stderr = io.TextIOWrapper(output, write_through=True)
            trial(root, seed)
            return 0

        child = forked(work)
        until = time.monotonic() + RUNS * RUN_SECONDS
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                said = (root / "output").read_text()[-6000:]
                assert os.waitstatus_to_exitcode(status) == 0, said
                return
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        ended(child)
        pytest.fail(f"seed {seed} did not end in {RUNS * RUN_SECONDS} s")


@pytest.fixture(scope="session")
def everything_loaded(tmp_path_factory):
    """Load all modules once, not in every child."""
    house = House(tmp_path_factory.mktemp("loaded"))
    (house.source / "a").write_bytes(b"a")
    house.backed_up()
    house.restore()


@pytest.mark.usefixtures("everything_loaded")
@pytest.mark.parametrize("seed", sample(range(SAMPLE)))
def test_a_hostile_store_does_not_keep_a_good_one_from_any_backup(seed):
    """Every backup is at the good store, in time, in little memory, and restores."""
    in_a_process(seed)
