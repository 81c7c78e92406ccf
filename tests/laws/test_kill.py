"""Kills: a dead run leaves files that the next run removes, never a false backup."""

import fcntl
import os
import random
import shutil
import signal
import time
from itertools import count

import pytest

from packrat.restore.choose import choose
from tests.helpers.forked import backing_up, ended, signalling
from tests.helpers.house import House
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise


@pytest.fixture
def two(tmp_path):
    """House with two destinations, one linked and one copied, and one backup."""
    house = House(tmp_path, destinations=("one", "two"), keep=2)
    fill(house.source, {"a": noise(300_000), "b/c": noise(3_000_000, 3), "b/d": b"small"})
    house.backed_up()
    fill(house.source, {"a": noise(300_000, 9), "b/new": noise(2_000_000, 4)})
    return house


def listed_backups_restore(house, first=0):
    """Restore the backups at each destination; `first` is an index, -1 of the newest."""
    program = house.program
    for place in house.stores:
        for held in house.catalog(place).backups[first:]:
            chosen = choose(program, "svc", held.summary.id[:8], place)
            restore(program, "svc", chosen, [], str(house.root / "out"))
            shutil.rmtree(house.root / "out")


@pytest.mark.thorough
def test_killed_at_every_stage_edge(two):
    """SIGKILL at each event: what is listed restores, the next run works and cleans up."""
    for number in count(1):
        status = ended(backing_up(two, signalling(number)))
        listed_backups_restore(two, -1)
        assert two.back_up().status == "done"
        assert two.litter() == []
        if status == 0:
            break
        assert status == -signal.SIGKILL
        fill(two.source, {"a": noise(300_000, number + 10)})
    assert number > 20
    listed_backups_restore(two)
    assert differences(two.source, two.restore("out")) == []


def test_killed_at_any_time(two):
    """SIGKILL at random moments: the same."""
    for number in range(15):
        fill(two.source, {"b/c": noise(3_000_000, number + 50)})
        child = backing_up(two, signalling(0))
        time.sleep(random.Random(number).uniform(0.0, 0.3))
        os.kill(child, signal.SIGKILL)
        ended(child)
        listed_backups_restore(two, -1)
    assert two.back_up().status == "done"
    assert two.litter() == []
    listed_backups_restore(two)


def test_two_runs_of_one_service(house):
    """The second run ends with 6 and names the holder; a dead holder blocks nothing."""
    (house.source / "x").write_bytes(b"x")
    house.backed_up()
    with open(house.state / "locks" / "svc.lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"process {os.getpid()} (packrat backup svc) since 20260101T000000Z\n")
        lock.flush()
        done = house.cli("backup", "svc")
    assert done.returncode == 6
    assert f"process {os.getpid()} (packrat backup svc)" in done.stderr
    assert house.cli("backup", "svc").returncode == 0
