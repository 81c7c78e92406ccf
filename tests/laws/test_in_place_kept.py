"""Undo lasts: what a restore in place set aside is never deleted early, and never kept unseen."""

import os
import time
from pathlib import Path

import pytest

from engine.run import Clock
from packrat.restore.choose import choose
from packrat.restore.undo import undo
from packrat.runs.repair import repair
from stages import linux
from tests.helpers.disks import disk
from tests.helpers.forked import ended, restoring_in_place
from tests.helpers.house import House
from tests.helpers.in_place import set_aside
from tests.helpers.restoring import restore
from tests.helpers.trees import fill, noise
from vault.archive.format import stamp, unstamp

DAY = 86_400
CHANGED, AGAIN = noise(200_000, 8), noise(200_000, 9)
START = int(time.time()) - 100 * DAY


def day(number):
    """Return a clock that says so many days since START."""
    return Clock(now=lambda: (START + round(number * DAY)) * 10**9)


def made(root, **settings):
    house = House(root, settings=settings)
    fill(house.source, {"a": noise(300_000), "b/c": b"1"})
    assert house.back_up(clock=day(0)).status == "done"
    fill(house.source, {"a": CHANGED, "b/new": noise(20_000)})
    return house


def in_place(house, number):
    program = house.program
    return restore(program, "svc", choose(program, "svc"), clock=day(number))


def kept(house):
    return set_aside(str(house.state), str(house.source))


def backed_up(house, number):
    result = house.back_up(clock=day(number))
    assert (result.status, result.warnings) == ("done", [])
    return result


def test_what_was_replaced_stays_for_seven_days_then_until_the_next_good_backup(tmp_path):
    """Backups meanwhile do not read it, and do not take the return of the old state for a loss."""
    house = made(tmp_path)
    restored = in_place(house, 1)
    assert restored.replaced_until == stamp(START + 8 * DAY)
    assert [backed_up(house, at).files for at in (2, 5, 7.99)] == [2, 2, 2]
    assert kept(house) == [restored.replaced_folder]
    house.store.rename(house.root / "hidden")
    house.store.write_text("in the way")
    assert house.back_up(clock=day(20)).status == "failed"
    assert kept(house) == [restored.replaced_folder], "a failed backup deletes nothing"
    undo(house.program, "svc", day(20))
    assert (house.source / "a").read_bytes() == CHANGED
    house.store.unlink()
    (house.root / "hidden").rename(house.store)
    backed_up(house, 26.9)
    assert kept(house) == [restored.replaced_folder], "what undo took out counts from the undo"
    backed_up(house, 27.1)
    assert kept(house) == []
    assert not list(house.source.glob(".packrat*"))


def test_each_restore_in_a_row_has_its_own_time(tmp_path):
    """The older one goes first, and the newer one can be undone all the same."""
    house = made(tmp_path)
    first = in_place(house, 1).replaced_folder
    fill(house.source, {"a": AGAIN})
    second = in_place(house, 4).replaced_folder
    assert kept(house) == [first, second]
    backed_up(house, 8.5)
    assert kept(house) == [second]
    undo(house.program, "svc", day(9))
    assert (house.source / "a").read_bytes() == AGAIN


@pytest.mark.parametrize(("keep", "last"), [("0", 1.01), ("2d", 3.01)])
def test_a_service_may_set_the_time(tmp_path, keep, last):
    """Zero means until the next good backup."""
    house = made(tmp_path, keep_replaced=keep)
    folder = in_place(house, 1).replaced_folder
    assert kept(house) == [folder]
    if keep != "0":
        backed_up(house, last - 0.02)
        assert kept(house) == [folder]
    backed_up(house, last)
    assert kept(house) == []


def test_what_a_repair_sets_aside_counts_from_the_repair(tmp_path):
    """Files that were written while a restore was half done are as safe as replaced ones."""
    house = made(tmp_path)
    real = linux.exchange

    def dying(*places):
        real(*places)
        if places[1] == "b":
            fill(house.source, {"b/fresh": b"4"})
            os._exit(9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "exchange", dying)
        assert ended(restoring_in_place(house, lambda _: None)) == 9
    repair(str(house.state))
    [folder] = kept(house)
    assert Path(folder, "tree", "b", "fresh").read_bytes() == b"4"
    now = (time.time() - START) / DAY
    backed_up(house, now + 6.9)
    assert kept(house) == [folder]
    backed_up(house, now + 7.1)
    assert kept(house) == []


def test_status_shows_what_is_set_aside(tmp_path):
    """Its size on the disk, since when, and until when."""
    house = made(tmp_path)
    folder = in_place(house, 1).replaced_folder
    backed_up(house, 2)
    [row] = house.json("status")
    [one] = row["replaced"]
    assert row["set_aside"] == [folder]
    assert one.pop("bytes") in range(220_000, 260_000)
    assert one == {
        "folder": folder,
        "by": "restore",
        "backup": one["backup"],
        "since": stamp(START + DAY),
        "until": stamp(START + 8 * DAY),
    }
    undo(house.program, "svc")
    [one] = house.json("status")[0]["replaced"]
    assert one["by"] == "undo"
    assert one["bytes"] in range(300_000, 350_000)
    assert unstamp(one["until"]) - unstamp(one["since"]) == 7 * DAY
    for words in (("status",), ("status", "svc")):
        text = house.cli(*words).stdout
        assert "an undo set aside" in text
        assert "the first good backup after 20" in text
        assert folder in text


@pytest.mark.root
def test_missing_room_is_reported_with_the_command_that_makes_room(tmp_path):
    """By the plan, the restore and the backup that fail; nothing goes by itself, then all works."""
    tmp_path.joinpath("house").mkdir()
    with disk(tmp_path / "house", "size=24m"):
        house = House(tmp_path / "house", spool={"min_free": "0"})
        fill(house.source, {"a": noise(5 << 20)})
        house.backed_up()
        in_place(house, 1)
        undo(house.program, "svc")
        in_place(house, 2)
        fill(house.source, {"b": noise(3 << 20, 2)})
        forget = "packrat restore --forget svc frees 10.0 MiB, what a restore in place set aside"
        planned = house.cli("plan", "--restore", "svc", "--in-place")
        assert "has no room: 5.0 MiB needed" in planned.stderr
        assert forget in planned.stderr
        for words in (("--in-place",), ("--to", str(house.root / "out"))):
            refused = house.cli("restore", "svc", *words, "--yes")
            assert refused.returncode == 4
            assert forget in refused.stderr
        failed = house.back_up()
        assert failed.status == "failed"
        assert failed.error.endswith(forget)
        assert len(kept(house)) == 2
        assert house.cli("restore", "--forget", "svc").returncode == 0
        assert house.cli("restore", "svc", "--in-place", "--yes").returncode == 0
        assert house.back_up().status == "done"
