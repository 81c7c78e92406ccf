"""Retention over many days: what each destination keeps, that it restores, and its size."""

import random
import shutil
from collections import defaultdict

import pytest

from engine.run import Clock
from packrat.restore.choose import choose
from packrat.runs.backup import back_up
from tests.helpers.house import House
from tests.helpers.indexes import entries_of
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise

KEEP, FILES = 14, 60
DAYS, DAYS_OF_SOAK = 70, 400
START = 1_767_225_600


def contents(seed: int) -> bytes:
    return noise(20_000, seed)


def stored_bytes(house, name):
    """Return the bytes of all archives, and of the distinct chunks that the kept ones use."""
    catalog = house.catalog(name)
    keys = house.program.keys
    opened = {}

    def fetch(archive_id, number):
        if archive_id not in opened:
            opened[archive_id] = catalog.open(catalog.referable[archive_id].stored.name, keys)
        return opened[archive_id].frame(number, b"i")

    chunks = {}
    for item in catalog.backups[-KEEP:]:
        archive = catalog.open(item.stored.name, keys)
        for entry in entries_of(archive.manifest.index, fetch):
            chunks |= {(c[1], c[2], c[3]): c[4] for c in entry.chunks}
    return sum(h.stored.size for h in catalog.listed), sum(chunks.values())


def keeps_exactly(catalog, newest):
    """Assert that only the newest backups and what they refer to are there."""
    kept = catalog.backups[-len(newest) :]
    assert [item.summary.id[:8] for item in kept] == newest
    needed = {other.name for item in kept for other in item.summary.archives}
    needed |= {item.stored.name for item in kept}
    assert {item.stored.name for item in catalog.listed} == needed


@pytest.mark.thorough
def test_many_days_keep_the_newest_and_stay_small(tmp_path, pytestconfig):
    """Each destination keeps the newest 14 and what they need, restores them, and stays small."""
    house = House(tmp_path, destinations=("one", "two"), keep=KEEP)
    pipeline = house.pipeline()
    chance = random.Random(4)
    fill(house.source, {f"f{n:02}": contents(n) for n in range(FILES)})
    foreign = house.stores["one"] / "svc" / "notes.txt"
    states: dict[str, dict[str, int]] = {}
    state = {f"f{n:02}": n for n in range(FILES)}
    ratios = defaultdict(list)
    for day in range(DAYS_OF_SOAK if pytestconfig.getoption("--soak") else DAYS):
        # 1% of the bytes changes each day.
        for _ in range(max(1, FILES // 100)):
            name = f"f{chance.randrange(FILES):02}"
            state[name] = 1000 + day
            (house.source / name).write_bytes(contents(1000 + day))
        away = 40 <= day < 54
        if away and house.stores["two"].is_dir():
            house.stores["two"].rename(tmp_path / "unplugged")
            house.stores["two"].write_text("not a folder")
        if not away and house.stores["two"].is_file():
            house.stores["two"].unlink()
            (tmp_path / "unplugged").rename(house.stores["two"])
        clock = Clock(now=lambda day=day: (START + day * 86_400) * 10**9)
        if chance.random() < 0.05:  # a failed day
            house.source.rename(tmp_path / "hidden")
            assert back_up(pipeline, clock=clock).status == "failed"
            (tmp_path / "hidden").rename(house.source)
            continue
        result = back_up(pipeline, clock=clock)
        assert result.status == ("partial" if away else "done"), result
        states[result.id] = dict(state)
        if day == 3:
            foreign.write_text("mine")
        newest = list(states)[-KEEP:]
        for name in ("one",) if away else ("one", "two"):
            keeps_exactly(house.catalog(name), newest)
            if day % 10 == 9 and day > KEEP:
                stored, used = stored_bytes(house, name)
                ratios[name].append(stored / used)
        if day % 20 == 19:
            short = chance.choice(newest)
            out, want = tmp_path / "out", tmp_path / "want"
            fill(want, {file: contents(seed) for file, seed in states[short].items()})
            program = house.program
            restore(program, "svc", choose(program, "svc", short), [], str(out))
            faults = [f for f in differences(want, out) if "other bytes" in f or "missing" in f]
            assert faults == []
            shutil.rmtree(out)
            shutil.rmtree(want)
    assert foreign.read_text() == "mine"
    for each in ratios.values():
        assert max(each) <= 2.5, each
        assert sum(each) / len(each) <= 1.6, each
