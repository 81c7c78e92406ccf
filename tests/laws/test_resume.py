"""Interrupted restore: the same command continues it, with the same result."""

import os
import random
import signal
import stat
import subprocess
import sys

import pytest

from engine.events import Finished, Progress
from packrat.restore.choose import choose
from tests.helpers.disks import disk
from tests.helpers.house import House
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise

SIZES = [0, 1, 5000, 300_000, 300_000, 1_500_000]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """House whose backup has some of everything, in two archives."""
    house = House(tmp_path_factory.mktemp("resume"))
    sizes = random.Random(4)
    files = {f"d{n % 7}/f{n}": noise(sizes.choice(SIZES), n) for n in range(80)}
    fill(house.source, files | {"big": noise(12_000_000, 77)})
    os.link(house.source / "big", house.source / "d1" / "again")
    os.symlink("big", house.source / "link")
    os.mkfifo(house.source / "fifo")
    with open(house.source / "sparse", "wb") as file:
        file.truncate(50_000_000)
        file.seek(20_000_000)
        file.write(noise(400_000, 3))
    house.backed_up()
    fill(house.source, {"d3/new": noise(2_000_000, 5), "d6/ro/x": b"x"})
    (house.source / "d6" / "ro").chmod(0o500)
    house.backed_up()
    return house


def command(house, out, *more, program=("packrat",)):
    words = ["restore", "svc", "--to", str(out), "--yes", "--json", *more]
    return [sys.executable, "-m", *program, "-c", str(house.config_file), *words]


def killed(house, out, after, number=signal.SIGKILL):
    """Restore, and kill it after so many written bytes; return its exit status and output."""
    program = ("tests.helpers.cut_off", str(after), str(int(number)))
    done = subprocess.run(
        command(house, out, program=program), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.thorough
def test_killed_again_and_again_it_ends_identical(filled, tmp_path):
    """SIGKILL after more and more bytes; complete files are not fetched again.

    Until a file is complete, nothing has its name and its full size: somebody may need it at once.
    """
    out = tmp_path / "out"
    partial = 0
    for size in (1, 4_000_000, 14_000_000, 20_000_000):
        assert killed(filled, out, size)[0] == -signal.SIGKILL
        for file in (one for one in out.rglob("*") if stat.S_ISREG(one.lstat().st_mode)):
            partial += file.name.startswith(".packrat-restoring-")
            there = filled.source / file.relative_to(out)
            if there.exists() and there.stat().st_size == file.stat().st_size:
                assert file.read_bytes() == there.read_bytes(), file
    assert partial > 4, "a marker each, and at least one file that was begun"
    assert [name for name in os.listdir(out) if name.startswith(".packrat-restoring-")]
    whole = filled.json("restore", "svc", "--to", str(tmp_path / "whole"), "--yes")
    last = filled.json("restore", "svc", "--to", str(out), "--yes")
    assert differences(filled.source, out) == []
    assert last["downloaded"] < whole["downloaded"] * 0.8
    assert (last["files"], last["size"]) == (whole["files"], whole["size"])


def test_only_incomplete_files_are_fetched(filled, tmp_path):
    """Of a nearly complete restore, only the few missing files are fetched."""
    out = tmp_path / "out"
    whole = filled.json("restore", "svc", "--to", str(out), "--yes")
    archive = filled.catalog().backups[-1].summary.id
    marked = filled.root / "marked"
    code, _ = killed(filled, marked, 1_000_000)
    assert code == -signal.SIGKILL
    (marked / f".packrat-restoring-{archive}").rename(out / f".packrat-restoring-{archive}")
    again = filled.json("restore", "svc", "--to", str(out), "--yes")
    assert again["downloaded"] == 0, "all stands"
    assert differences(filled.source, out) == []
    victim = next(f for f in sorted(out.rglob("f*")) if f.is_file() and f.stat().st_size == 300_000)
    times = victim.stat()
    (out / f".packrat-restoring-{archive}").write_text("")
    done = filled.cli("restore", "svc", "--to", str(out), "--yes")
    assert done.returncode == 4, "an empty marker among files is nobody's"
    (out / f".packrat-restoring-{archive}").unlink()
    code, _ = killed(filled, tmp_path / "mark", 1_000_000)
    marker = tmp_path / "mark" / f".packrat-restoring-{archive}"
    marker.rename(out / marker.name)
    data = bytearray(victim.read_bytes())
    data[150_000] ^= 1
    victim.write_bytes(data)
    os.utime(victim, ns=(times.st_mtime_ns, times.st_mtime_ns))
    (out / "link").unlink()
    third = filled.json("restore", "svc", "--to", str(out), "--yes")
    assert 0 < third["downloaded"] < whole["downloaded"] / 4
    assert differences(filled.source, out) == []


def test_progress_ends_at_the_announced_total(filled, tmp_path):
    """Whole or continued: the total is exactly the number of bytes that are written."""
    events, sizes = [], []
    program = filled.program
    out = tmp_path / "out"
    assert killed(filled, out, 16_000_000)[0] == -signal.SIGKILL
    for target in (tmp_path / "whole", out):
        events.clear()
        restore(program, "svc", choose(program, "svc"), (), str(target), [events.append])
        said = {e.whole for e in events if isinstance(e, Progress) and e.stage == "gather"}
        [written] = [e.bytes for e in events if isinstance(e, Finished) and e.stage == "gather"]
        assert said == {written}, target
        sizes.append(written)
    assert sizes[1] < sizes[0], "some of it stood"


@pytest.mark.root
@pytest.mark.thorough
def test_an_interrupted_restore_needs_no_room_twice(tmp_path):
    """Its unfinished files are replaced: a disk with room for one restore is enough."""
    house = House(tmp_path / "house")
    fill(house.source, {name: noise(6_000_000, n) for n, name in enumerate("abc")})
    house.backed_up()
    with disk(tmp_path / "disk", "size=20m") as small:
        out = small / "out"
        assert killed(house, out, 5_000_000)[0] == -signal.SIGKILL
        begun = sum(512 * one.stat().st_blocks for one in out.glob(".packrat-restoring-*-*"))
        assert begun > 3_000_000, "more than the disk has to spare"
        house.json("restore", "svc", "--to", str(out), "--yes")
        assert differences(house.source, out) == []


@pytest.mark.thorough
def test_another_restore_is_not_continued(filled, tmp_path):
    """Other paths, another backup, a folder without a marker: refused, and nothing changes."""
    out = tmp_path / "out"
    assert killed(filled, out, 1_000_000)[0] == -signal.SIGKILL
    before = sorted(out.rglob("*"))
    for more in (["--path", "big"], ["--backup", filled.archives[0].stem[-8:]]):
        done = subprocess.run(
            command(filled, out, *more), capture_output=True, text=True, check=False
        )
        assert done.returncode == 4
        assert "unfinished restore of another backup, or of other paths" in done.stderr
    assert sorted(out.rglob("*")) == before


def test_ctrl_c_reports_how_to_continue(filled, tmp_path):
    """Exit 130 and one sentence on how to continue, which works."""
    out = tmp_path / "out"
    code, said = killed(filled, out, 4_000_000, signal.SIGINT)
    assert code == 130
    assert said == f"packrat: svc: interrupted; run the same restore to {out} again to continue\n"
    filled.json("restore", "svc", "--to", str(out), "--yes")
    assert differences(filled.source, out) == []
