"""History of runs, and the status that is derived from it."""

import errno
import json
import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from packrat.runs.history import KEPT, History
from tests.helpers.disks import disk
from tests.helpers.forked import backing_up, ended, signalling
from tests.helpers.house import House
from tests.helpers.trees import fill, noise


def test_a_run_by_hand_is_written_down(house):
    """With times and bytes of its stages, its destinations, and the error of a failed one."""
    fill(house.source, {"a": noise(100_000, 1)})
    [result] = house.json("backup", "svc")
    house.source.rename(house.root / "elsewhere")
    house.json("backup", "svc", status=4)
    failed, done = house.json("history", "svc")
    assert (done["status"], done["by"], done["id"]) == ("done", "hand", result["id"])
    assert done["stages"]["collect"]["bytes"] == 100_000
    assert set(done["stages"]) >= {"survey", "chunk", "spool", "upload:local", "prune:local"}
    assert done["destinations"] == result["destinations"]
    assert failed["status"] == "failed"
    assert "does not exist" in failed["error"]
    assert done["started"] <= done["ended"] <= failed["started"]


def test_a_killed_run_shows_as_such(house):
    """After SIGKILL in the middle, it has no end and its lock is free."""
    fill(house.source, {"a": b"1"})
    assert ended(backing_up(house, signalling(9))) == -signal.SIGKILL
    [run] = house.json("history")
    assert (run["status"], run["ended"]) == ("killed", None)
    assert house.json("status", status=5)[0]["last"]["status"] == "killed"
    house.json("backup", "svc")
    assert [run["status"] for run in house.json("history")] == ["done", "killed"]
    assert house.json("status")[0]["last"]["status"] == "done"


def test_what_runs_now_is_shown_with_its_progress(house):
    """During a run, status shows the stage, the progress and the start."""
    fill(house.source, {f"f{n}": noise(1 << 20, n) for n in range(8)})
    run = backing_up(house, signalling(25, signal.SIGSTOP))
    try:
        for _ in range(200):
            [row] = house.json("status")
            if row["running"] and row["running"]["stage"]:
                break
            time.sleep(0.05)
        assert row["running"]["stage"] in house.pipeline().stages
        assert "runs now (" in house.cli("status").stdout
    finally:
        os.kill(run, signal.SIGCONT)
        ended(run)
    assert house.json("status")[0]["running"] is None


@pytest.mark.root
def test_a_state_that_is_full_stops_no_backup(tmp_path):
    """The history is a cache: if it cannot be written, the backup goes on."""
    house = House(tmp_path, spool={"path": str(tmp_path / "spool"), "min_free": "1"})
    fill(house.source, {"a": b"1"})
    with disk(house.state, "size=64k"):
        (house.state / "full").write_bytes(bytes(60_000))
        result = house.back_up()
        assert result.status == "done", result.error


def test_a_damaged_history_is_recreated(house):
    """It is a cache."""
    fill(house.source, {"a": b"1"})
    house.state.mkdir()
    (house.state / "history.sqlite").write_bytes(noise(8192, 3))
    assert house.back_up().status == "done"
    assert len(house.json("history")) == 1


@pytest.mark.parametrize("wrong", ["document = '[1'", "stages = '3'", "started = 'noon'"])
def test_a_run_of_the_history_with_wrong_types_is_skipped_with_a_warning(house, wrong):
    fill(house.source, {"a": b"1"})
    house.backed_up()
    house.backed_up()
    with closing(sqlite3.connect(house.state / "history.sqlite")) as database, database:
        database.execute(f"UPDATE runs SET {wrong} WHERE number = 1")
    done = house.cli("history", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1
    assert "warning: 1 of the runs in" in done.stderr
    assert house.json("status")[0]["last"]["status"] == "done"


@pytest.mark.parametrize("call", ["ftruncate", "unlink"])
def test_a_backup_that_is_stored_is_done_although_its_own_files_cannot_be_cleared(
    house, monkeypatch, call
):
    """The lock file's text, or the spool's file: the run is done, at most with a warning."""
    fill(house.source, {"a": b"1"})
    real = getattr(os, call)

    def failing(what, *more, **options):
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
        if "/state/locks/" in path or "/state/spool/" in path:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(what, *more, **options)

    monkeypatch.setattr(os, call, failing)
    result = house.back_up()
    assert (result.status, result.error) == ("done", None), result
    assert [f"{house.state}/spool" in text for text in result.warnings] == [True] * (
        call == "unlink"
    )


def test_exit_status_of_status_shows_whether_all_is_well(house):
    """Exit 0 if all is well; 5 if overdue, or if the last run was not done."""
    settings = {"path": str(house.source), "max_age": "1h"}
    other = House(house.root, settings=settings)
    assert other.json("status", status=5)[0]["overdue"], "there is no backup yet"
    fill(house.source, {"a": b"1"})
    other.backed_up()
    [row] = other.json("status")
    assert (row["overdue"], row["last"]["status"]) == (False, "done")
    assert row["age_seconds"] < 60
    seen = {"newest": row["newest"], "backups": 1, "damaged": 0, "stored": row["last"]["stored"]}
    assert row["destinations"]["local"] == seen
    assert row["next"] is None
    other.source.rename(house.root / "elsewhere")
    other.back_up()
    assert other.json("status", status=5)[0]["last"]["status"] == "failed"


def test_the_history_stays_small(tmp_path):
    """The newest thousand runs of each service are kept."""
    with closing(History(str(tmp_path))) as history:
        for number in range(KEPT + 20):
            history.end(history.begin("svc", "backup", number), "done", number, {}, {})
        history.begin("other", "backup", 0)
        assert len(history.runs("svc")) <= KEPT + 1
        assert len(history.runs("other")) == 1


def test_status_needs_neither_key_nor_destination(house):
    """It shows what was last seen, without contacting a destination."""
    fill(house.source, {"a": b"1"})
    house.backed_up()
    house.key_file.unlink()
    house.store.rename(house.root / "away")
    assert house.json("status")[0]["destinations"]["local"]["backups"] == 1
