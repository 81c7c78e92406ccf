"""Overdue alarm after a backup with a clock that was ahead."""

import time
from contextlib import closing

from engine.run import Clock
from packrat.runs.history import History
from packrat.runs.status import newest_overdue, service_rows
from tests.helpers.house import House
from tests.helpers.trees import fill

YEAR, DAY = 365 * 86_400, 86_400


def ahead(seconds):
    return Clock(now=lambda: time.time_ns() + seconds * 10**9)


def looked(house, now):
    config = house.program.config
    with closing(History(config.state_dir)) as history:
        [row] = service_rows(config, history, now)
        assert row["overdue"] == ("svc" in newest_overdue(config, history, now))
    return row


def test_a_backup_from_the_future_does_not_hide_that_a_service_is_overdue(tmp_path):
    """Every later backup is dated after it, so the age is that of the last good run."""
    house = House(tmp_path, settings={"path": str(tmp_path / "source"), "max_age": "1d"})
    fill(house.source, {"a": b"1"})
    house.back_up(clock=ahead(12 * YEAR))
    fill(house.source, {"a": b"2"})
    house.back_up()
    now = time.time()
    row = looked(house, now)
    assert (row["overdue"], row["dated_ahead"]) == (False, True)
    assert row["age_seconds"] < 60
    row = looked(house, now + 10 * DAY)
    assert row["overdue"]
    assert 9 * DAY < row["age_seconds"] < 11 * DAY
    assert "in the future" in house.cli("status").stdout


def test_a_backup_from_the_future_without_history_has_no_age_and_is_overdue(tmp_path):
    """Its real age is unknown, so the user should check."""
    house = House(tmp_path, settings={"path": str(tmp_path / "source"), "max_age": "1d"})
    fill(house.source, {"a": b"1"})
    house.back_up(clock=ahead(12 * YEAR))
    row = looked(house, time.time())
    assert (row["overdue"], row["age_seconds"]) == (True, None)


def test_backups_after_one_from_the_future_are_listed_and_found_by_their_own_date(tmp_path):
    """Their names follow that of the backup from the future, but a date means when it was made."""
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    house.back_up(clock=ahead(12 * YEAR))
    fill(house.source, {"a": b"2"})
    second = house.back_up()
    today = time.strftime("%Y-%m-%d")
    rows = house.json("list")
    assert [row["id"] for row in rows][1] == second.id
    assert [row["made"] < row["time"] for row in rows] == [False, True]
    assert rows[0]["time"] < rows[1]["time"]
    assert [today in line for line in house.cli("list").stdout.splitlines()[1:]] == [False, True]
    house.restore("by-date", today)
    assert (tmp_path / "by-date" / "a").read_bytes() == b"2"
    house.restore("by-name", rows[1]["time"])
    assert (tmp_path / "by-name" / "a").read_bytes() == b"2"
