"""Backups are named as people write them: ids, times, `latest~1`; a restore says which it took."""

import re
import time
from datetime import datetime

import pytest

from engine.run import Clock
from packrat.restore.when import period_of
from tests.helpers.house import House
from tests.helpers.trees import fill

NOW = "2026-11-29 05:00:00"
DAYS = {
    "yesterday": ("2026-11-28 00:00", "2026-11-29 00:00"),
    "Today": ("2026-11-29 00:00", "2026-11-30 00:00"),
    "today 04:57": ("2026-11-29 04:57", "2026-11-29 04:58"),
    "yesterday 23": ("2026-11-28 23:00", "2026-11-29 00:00"),
    "2026-11-29": ("2026-11-29 00:00", "2026-11-30 00:00"),
    "29.11.2026": ("2026-11-29 00:00", "2026-11-30 00:00"),
    "2026-11": ("2026-11-01 00:00", "2026-12-01 00:00"),
    "2026-11-29 04": ("2026-11-29 04:00", "2026-11-29 05:00"),
    "2026-11-29T04:57": ("2026-11-29 04:57", "2026-11-29 04:58"),
    "20261129T0457": ("2026-11-29 04:57", "2026-11-29 04:58"),
    "04:57": ("2026-11-29 04:57", "2026-11-29 04:58"),
    "23:10": ("2026-11-28 23:10", "2026-11-28 23:11"),
    "Sunday": ("2026-11-22 00:00", "2026-11-23 00:00"),
    "saturday 02:00": ("2026-11-28 02:00", "2026-11-28 02:01"),
}
INSTANTS = {
    "2 days ago": "2026-11-27 05:00",
    "an hour ago": "2026-11-29 04:00",
    "3  weeks ago": "2026-11-08 05:00",
    "1 month ago": "2026-10-29 05:00",
    "9 months ago": "2026-02-28 05:00",
    "2 years ago": "2024-11-29 05:00",
}
NO_TIMES = (
    *("", "latest", "389c519f", "12345678", "1 day", "2026-13-01", "2026-11-29 25:00"),
    *("99999 days ago", "9999 years ago", "tomorrow", "today 2026-11-29", "x 04:57", "4"),
)


def local(text):
    return datetime.fromisoformat(text).astimezone()


@pytest.fixture(params=["UTC", "America/New_York"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_times_mean_what_people_mean(zone):
    for text, (begin, end) in DAYS.items():
        period = period_of(text, local(NOW))
        assert period, text
        assert (period.begin, period.end) == (local(begin), local(end)), text
    for text, moment in INSTANTS.items():
        period = period_of(text, local(NOW))
        assert period, text
        assert period.begin == period.end == local(moment), text
    for text in NO_TIMES:
        assert period_of(text, local(NOW)) is None, text


def test_a_day_with_a_clock_change_has_25_hours(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    day = period_of("2026-10-25", local(NOW))
    assert day
    assert (day.end - day.begin).total_seconds() == 25 * 3600
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def dated(tmp_path):
    """Backups of 2026-11-20, of the 22nd at 03:00, 03:30 and 04:00, and of the 24th."""
    house = House(tmp_path)
    times = [(20, "02:00"), (22, "03:00"), (22, "03:30"), (22, "04:00"), (24, "02:00")]
    house.ids = {}
    for number, (day, clock) in enumerate(times):
        fill(house.source, {"number": str(number).encode()})
        moment = int(local(f"2020-11-{day} {clock}").timestamp())
        result = house.back_up(clock=Clock(now=lambda moment=moment: moment * 10**9))
        assert result.status == "done", result
        house.ids[f"{day} {clock}"] = result.id
    return house


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("latest", "24 02:00"),
        ("LATEST~1", "22 04:00"),
        ("latest~4", "20 02:00"),
        ("2020-11-20", "20 02:00"),
        ("24.11.2020", "24 02:00"),
        ("2020-11-22 03:30", "22 03:30"),
        ("2020-11-22 04", "22 04:00"),
        ("2020-11-23", "22 04:00"),  # none on that day: the newest before it
        ("before 2020-11-22", "20 02:00"),
        ("before 2020-11-22 03:30", "22 03:00"),
        ("yesterday", "24 02:00"),
        ("2 days ago", "24 02:00"),
    ],
)
def test_a_restore_takes_the_backup_that_is_meant_and_says_which(dated, written, taken):
    out = dated.root / "out"
    id_ = dated.ids[taken]
    words = ("restore", "svc", "--backup", written, "--to", str(out), "--yes")
    done = dated.cli(*words)
    assert done.returncode == 0, done.stderr
    assert f"of backup {id_} (2020-11-{taken}:00) from local" in done.stdout
    plan = dated.cli("plan", "--restore", "svc", "--backup", written, "--to", str(out)).stdout
    assert plan.startswith(f"svc: restore of backup {id_}, 2020-11-{taken}:00\n")


def test_a_restore_names_its_backup_in_json(dated):
    id_ = dated.ids["22 03:00"]
    words = ("restore", "svc", "--backup", id_.upper(), "--to", str(dated.root / "out"), "--yes")
    done = dated.json(*words)
    assert done["id"] == id_
    assert done["made"].startswith("2020112")


def test_an_ambiguous_time_lists_its_candidates(dated):
    """It once took the newest of them silently."""
    out = str(dated.root / "out")
    done = dated.cli("restore", "svc", "--backup", "2020-11-22", "--to", out, "--yes")
    assert done.returncode == 4
    listed = re.findall(r"^  ([0-9a-f]{8})  2020-11-(22 0\d:\d\d):00$", done.stderr, re.MULTILINE)
    assert listed == [(dated.ids[at], at) for at in ("22 04:00", "22 03:30", "22 03:00")]
    assert not (dated.root / "out").exists()


@pytest.mark.parametrize("written", ["2019-01-01", "before 2020-11-20", "20 years ago", "latest~5"])
def test_nothing_so_old_is_a_failure(dated, written):
    words = ("restore", "svc", "--backup", written, "--to", str(dated.root / "out"), "--yes")
    done = dated.cli(*words)
    assert (done.returncode, done.stdout) == (4, "")
    assert f"there is no {'backup ' if '~' not in written else ''}" in done.stderr


def test_a_warning_says_that_an_older_backup_is_taken(dated):
    words = ("ls", "svc", "2020-11-23")
    done = dated.cli(*words)
    id_ = dated.ids["22 04:00"]
    assert f"at or before '2020-11-23': {id_}  2020-11-22 04:00:00" in done.stderr
