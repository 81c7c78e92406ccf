"""House for the picker's tests, whose names and sizes appear on golden screens."""

import tempfile
import time
from pathlib import Path

import pytest

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.trees import fill, noise

MINUTE = 60 * 10**9


@pytest.fixture
def root():
    """A folder with a short name of constant length, which appears on golden screens."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pk") as folder:
        yield Path(folder)


@pytest.fixture
def filled(root):
    """A house with two destinations, two backups of one minute, and names of every kind."""
    house = House(root, destinations=("local", "nas"), service="gitea")
    files = {"app.ini": noise(3000), "repos/one.git/HEAD": b"ref", "repos/two.git/HEAD": b"ref"}
    files |= {f"avatars/{n:03}.png": noise(2000, n) for n in range(30)}
    files |= {"evil\x1b[2J\u202ename": b"x", f"{'long-' * 30}name": b"y"}
    minute = time.time_ns() // MINUTE * MINUTE - 2 * MINUTE
    for new, seconds in ((files, 10), ({"late": b"late"}, 20)):
        fill(house.source, new)
        clock = Clock(now=lambda at=minute + seconds * 10**9: at)
        assert house.back_up(clock=clock).status == "done"
    return house
