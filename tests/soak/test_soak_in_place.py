"""Full campaigns against in-place restores; `make soak`, or one of them:

    pytest tests/soak/test_soak_in_place.py --soak-seed 7 --soak-size 500

The size is the number of races per kind of attacker, and of generated trees. Faults are injected at
every call whatever the size.
"""

import os
import random
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.source.exclude import Excludes
from tests.helpers.attackers import MODES, attempt, compiled
from tests.helpers.disks_in_place import mounted
from tests.helpers.faults import KILL
from tests.helpers.in_place import Place, look
from tests.helpers.in_place_faults import OPERATIONS, PowerCut, campaign
from tests.helpers.trees import fill

pytestmark = [pytest.mark.soak, pytest.mark.root]


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize("how", [KILL, "EIO", "ENOSPC"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_every_call(memory, operation, how, exchanges):
    if operation.startswith("recover") and not exchanges:
        pytest.skip("the process that dies half-way needs exchanges")
    assert campaign(memory, operation, how, exchanges=exchanges) > 30


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_disk_that_fails_for_good_at_every_call(memory, operation):
    assert campaign(memory, operation, "EIO", lasting=True) > 30


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_power_cut_at_every_call(tmp_path, operation):
    with PowerCut(tmp_path) as power:
        assert campaign(power.disk, operation, KILL, power=power) > 30


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_every_call_with_a_second_disk_inside(memory, tmp_path, operation):
    def disk_inside(place):
        return mounted(memory / "second", place.path / "part" / "cache")

    assert campaign(tmp_path, operation, KILL, numbers=range(1, 400, 3), fill=disk_inside) > 10


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_every_call_where_the_folder_is_a_mount_point(memory, tmp_path, operation):
    @contextmanager
    def mount_point(place):
        (memory / "whole").unlink(missing_ok=True)
        with mounted(memory / "whole", place.path, megabytes=8) as disk:
            (disk / "lost+found").rmdir()
            yield

    assert campaign(tmp_path, operation, KILL, numbers=range(2, 400, 3), fill=mount_point) > 10


@pytest.mark.parametrize("mode", MODES)
def test_races(soak_size, mode):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        room = Path(folder)
        program = compiled(room)
        for number in range(max(200, soak_size)):
            attempt(room / f"{number}", program, mode)


def test_generated_trees(memory, soak_seed, soak_size):
    """Any two trees, any excludes, any selection of paths: restore, undo, restore, forget."""
    seed = soak_seed
    for number in range(soak_size):
        rng = random.Random(seed * 1_000_003 + number)
        place = Place(memory / f"{number}", generated_excludes(rng))
        fill(place.path, generated(rng))
        fill(place.backup, generated(rng))
        place.path.mkdir(parents=True, exist_ok=True)
        place.backup.mkdir(exist_ok=True)
        before = place.look()
        names = sorted(os.listdir(place.backup))
        paths = rng.sample(names, rng.randint(0, len(names))) if rng.random() < 0.4 else ()
        place.restore(paths=paths)
        after = place.look()
        excluded = {n: f for n, f in before.items() if is_excluded(n, f[0], place.exclude)}
        assert excluded.items() <= after.items(), (seed, number)
        if not excluded and not paths:
            assert after == look(place.backup), (seed, number)
        place.undo()
        assert place.look() == before, (seed, number)
        place.restore(paths=paths)
        assert place.look() == after, (seed, number)
        assert place.forget().failed == ()
        assert {n: f for n, f in place.look().items() if n != "."} == {
            n: f for n, f in after.items() if n != "."
        }, (seed, number)


def generated(rng):
    """Generate files; some names are folders in one tree and files in the other."""
    files = {}
    for _ in range(rng.randint(0, 25)):
        name = "/".join(rng.choice("abcd") for _ in range(rng.randint(1, 4)))
        if not any(
            f == name or f.startswith(name + "/") or name.startswith(f + "/") for f in files
        ):
            files[name] = rng.randbytes(rng.randint(0, 40))
    return files


def is_excluded(name, kind, patterns):
    """Return whether a path, or a folder above it, is excluded."""
    excludes = Excludes(patterns)
    names = name.split("/")
    above = ("/".join(names[:depth]) + "/" for depth in range(1, len(names)))
    return name != "." and (
        any(map(excludes.excludes, above)) or excludes.excludes(name + "/" * stat.S_ISDIR(kind))
    )


def generated_excludes(rng):
    """Generate exclude patterns."""
    patterns = ["a", "b/", "/c", "/a/b", "*.tmp", "d/c/", "**/a/a", "!/c/a", "/d/*"]
    return tuple(rng.sample(patterns, rng.randint(0, 3)))
