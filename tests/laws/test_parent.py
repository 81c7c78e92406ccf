"""Parent: what a backup takes over from it equals the source, whatever has changed."""

import os
import random
import shutil
import time
from zlib import crc32

import pytest

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.indexes import entries_of, fetch_from
from tests.helpers.sampling import sample
from tests.helpers.trees import differences, fill, noise
from vault.archive import blocks
from vault.archive.format import order
from vault.archive.index import read_layout

LATER = Clock(now=lambda: time.time_ns() + 10**10)
"""Clock by which everything written before the run is old enough to be trusted."""


def listed(house):
    """Return the paths in the newest backup's index, in order."""
    catalog = house.catalog()
    archives = {}

    def fetch(archive_id, number):
        if archive_id not in archives:
            name = catalog.referable[archive_id].stored.name
            archives[archive_id] = catalog.open(name, house.program.keys)
        return archives[archive_id].frame(number, b"i")

    newest = catalog.open(catalog.backups[-1].stored.name, house.program.keys)
    return [entry.name for entry in entries_of(newest.manifest.index, fetch)]


def back_up(house):
    time.sleep(0.01)  # a tick of the kernel's clock, so that later writes have later times
    result = house.back_up(clock=LATER)
    assert (result.status, result.error) == ("done", None)
    return result


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut the index every few entries, so that changes occur at block boundaries."""
    monkeypatch.setattr(blocks, "ENTRIES_LEAST", 3)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 12)
    monkeypatch.setattr(blocks, "CUT_MASK", 3)


class Life:
    """Random changes of a tree, as users make them."""

    def __init__(self, root, seed):
        self.root, self.chance = root, random.Random(seed)
        for number in range(120):
            self.write(f"{number % 9}/{number:03}")

    def write(self, path):
        fill(self.root, {path: noise(self.chance.randrange(1, 200), self.chance.random())})

    def some(self):
        return self.chance.choice(sorted(p for p in self.root.rglob("*") if p.is_file()))

    def change(self):
        pick = self.chance.randrange
        new = f"{pick(9)}/{pick(120):03}.{pick(99)}"
        match self.chance.choice(
            ["new", "crowd", "write", "write", "delete", "move", "mode", "tree"]
        ):
            case "new":
                self.write(new)
            case "crowd":
                for number in range(pick(12)):
                    self.write(f"{new}+{number:02}")
            case "write":
                self.write(str(self.some().relative_to(self.root)))
            case "delete":
                self.some().unlink()
            case "move":
                (self.root / new).parent.mkdir(exist_ok=True)
                self.some().rename(self.root / new)
            case "mode":
                self.some().chmod(self.chance.choice([0o600, 0o640, 0o755]))
            case "tree":
                old = self.some().parent
                target = self.root / f"{pick(9)}t{pick(999)}"
                if not target.exists():
                    old.rename(target)


@pytest.mark.parametrize("seed", sample(range(8), every=4))
def test_every_backup_of_a_changing_tree_is_the_tree(house, small_blocks, seed):
    """After every run the list is complete, in order, without duplicates, and restores."""
    life = Life(house.source, seed)
    back_up(house)
    for run in range(12):
        for _ in range(life.chance.randrange(12)):
            life.change()
        back_up(house)
        there = [str(path.relative_to(house.source)) for path in house.source.rglob("*")]
        assert listed(house) == sorted(["", *there], key=order)
        assert differences(house.source, house.restore(f"out/{run}")) == []
    assert {verdict.status for verdict in house.verify()} == {"ok"}


def test_a_changed_file_at_a_border_of_blocks_is_listed_once(house):
    """A block of the parent's index is passed on as a whole only if all of it is unchanged.

    Here its first entry is changed, and the new index ends a block with that very entry.
    """
    names = [f"{number:04}" for number in range(600)]
    fill(house.source, dict.fromkeys(names, b"old"))
    back_up(house)
    catalog = house.catalog()
    newest = catalog.open(catalog.backups[-1].stored.name, house.program.keys)
    cut = read_layout(newest.manifest.index, fetch_from(newest), "x")
    # A name that begins a block and, with enough entries before it, ends one.
    before = cut[1].first
    start = next(
        name
        for number in range(10_000)
        if crc32((name := f"{int(before) - 1:04}z{number:04}").encode()) % 32 == 0
    )
    fill(house.source, {start: b"old"})
    back_up(house)
    fill(house.source, {f"{int(before) - 1:04}a{number:02}": b"new" for number in range(40)})
    fill(house.source, {start: b"changed"})
    back_up(house)
    assert listed(house) == sorted(["", *os.listdir(house.source)])
    assert differences(house.source, house.restore()) == []


def test_a_new_destination_gets_bases_too(tmp_path):
    """Catch-up also copies an archive whose own references are gone, if backups need it."""
    house = House(tmp_path, keep=1)
    fill(house.source, {"first": noise(9000, 1), "kept": b""})
    back_up(house)
    fill(house.source, {"second": noise(9000, 2)})
    back_up(house)
    (house.source / "first").unlink()
    for number in range(3):
        fill(house.source, {f"more{number}": noise(9000, 3 + number)})
        back_up(house)
    assert any(one not in house.catalog().backups for one in house.catalog().listed)
    both = House(tmp_path, destinations=("local", "second"), keep=1)
    fill(house.source, {"last": noise(10)})
    back_up(both)
    assert both.catalog("second").backups
    shutil.rmtree(both.stores["local"])
    out = both.root / "out"
    assert both.cli("restore", "svc", "--from", "second", "--to", str(out), "--yes").returncode == 0
    assert differences(house.source, out) == []
