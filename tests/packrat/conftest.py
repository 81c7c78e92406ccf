"""House for the picker's tests, whose names and sizes appear on golden screens."""

import tempfile
from pathlib import Path

import pytest

from tests.helpers.house import House
from tests.helpers.trees import fill, noise


@pytest.fixture
def root():
    """A folder with a short name of constant length, which appears on golden screens."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pk") as folder:
        yield Path(folder)


@pytest.fixture
def filled(root):
    """A house with two destinations, two backups, and names of every kind."""
    house = House(root, destinations=("local", "nas"), service="gitea")
    files = {"app.ini": noise(3000), "repos/one.git/HEAD": b"ref", "repos/two.git/HEAD": b"ref"}
    files |= {f"avatars/{n:03}.png": noise(2000, n) for n in range(30)}
    files |= {"evil\x1b[2J\u202ename": b"x", f"{'long-' * 30}name": b"y"}
    fill(house.source, files)
    house.backed_up()
    fill(house.source, {"late": b"late"})
    house.backed_up()
    return house
