"""Schedules over whole years, with both clock changes, sleeps, and clocks set back."""

from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat.runs.schedule import DAY, Schedule, Timetable
from tests.helpers.sampling import examples, sample

ZONES = ("Europe/Berlin", "America/New_York", "UTC")
FIXED = ("0 2 * * *", "30 2 * * *", "15 3 * * 0", "0 0 * * *", "0 1,2,3 * * *", "59 23 1 * *",
         "30 1 * * 0,1", "@weekly", "*/20 2 * * *", "5 4 29 2 *")  # fmt: skip
WILD = ("*/30 * 24-31 3,10 *", "0 * * * *", "30 */2 * * *", "15 * * * 0", "0 */5 1,15 * *")
BEGIN, END = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2026, 2027))
zones = st.sampled_from(ZONES).map(ZoneInfo)


def shown(moment, zone):
    """Return the local time at a moment."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)


@cache
def walls(text):
    """Return the local times that a schedule names in the year and a day around it."""
    found = croniter(Schedule(text, UTC).fields, datetime(2025, 12, 30, tzinfo=UTC))
    times = []
    while not times or times[-1] < datetime(2027, 1, 3):  # noqa: DTZ001
        times.append(found.get_next(datetime).replace(tzinfo=None))
    return times


@cache
def instants(text, zone, begin=BEGIN, end=END):
    """Return all instants of a year."""
    schedule, found = Schedule(text, zone), []
    moment = begin
    while (moment := schedule.after(moment)) < end:
        found.append(moment)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", sample(FIXED, every=2))
def test_a_fixed_hour_comes_exactly_once_on_each_day_it_names(text, zone):
    """A skipped time comes at the change; a repeated one comes the first time."""
    zone = ZoneInfo(zone)
    found = instants(text, zone)
    assert found == sorted(set(found))
    expected = set()
    for wall in walls(text):
        minutes = [wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
        shows = [moment for moment in minutes if shown(moment, zone) == wall]
        if not shows:  # the clock skips it: due in the first minute after the gap
            earlier = int(min(minutes)) // 60 * 60
            shows = [next(m for m in range(earlier, earlier + 86400, 60) if shown(m, zone) > wall)]
        expected.add(float(min(shows)))
    assert set(found) == {moment for moment in expected if BEGIN < moment < END}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", sample(WILD, every=2))
def test_a_wildcard_hour_comes_whenever_the_clock_shows_it(text, zone):
    """At each real interval: twice in the repeated hour, never in the skipped one."""
    zone = ZoneInfo(zone)
    named = set(walls(text))
    expected = [
        float(moment)
        for moment in range(int(BEGIN) + 900, int(END), 900)  # all of them fall on quarters
        if shown(moment, zone) in named
    ]
    assert instants(text, zone) == expected


def test_the_hours_around_a_change_in_berlin():
    """A literal example for readers."""
    berlin = ZoneInfo("Europe/Berlin")

    def local(text, day):
        moment = datetime(2026, *day, tzinfo=berlin).timestamp()
        found = [m for m in instants(text, berlin) if moment <= m < moment + 26 * 3600]
        return [datetime.fromtimestamp(m, berlin).strftime("%d %H:%M %Z") for m in found][:4]

    assert local("30 2 * * *", (3, 29)) == ["29 03:00 CEST", "30 02:30 CEST"]
    assert local("30 2 * * *", (10, 25)) == ["25 02:30 CEST"]
    assert local("30 * * * *", (3, 29))[1:4] == ["29 01:30 CET", "29 03:30 CEST", "29 04:30 CEST"]
    assert local("30 * * * *", (10, 25))[2:4] == ["25 02:30 CEST", "25 02:30 CET"]


@settings(max_examples=examples(20))
@given(st.sampled_from(FIXED + WILD), zones, st.floats(BEGIN, END), st.floats(60, 40 * DAY))
def test_the_latest_is_the_last_of_all_between(text, zone, since, length):
    """`latest`, which searches in windows, equals a search through all instants."""
    schedule, upto = (
        Schedule(text, zone),
        since + min(length, 3 * DAY if text[0] == "*" else length),
    )
    moment, last = since, None
    while (moment := schedule.after(moment)) <= upto:
        last = moment
    assert schedule.latest(since, upto) == last


def run_year(text, zone, jumps=(), *, takes=0.0):
    """Simulate a machine for a year; return (instant, time of its run) for each run.

    `jumps` are (when, seconds): a sleep of that length, or for a negative one a clock set back.
    """
    table, runs, clock = Timetable(Schedule(text, zone), BEGIN), [], BEGIN
    left = sorted(jumps)
    while clock < END:
        coming = max(table.next(clock), clock)
        jumps_first = left and left[0][0] <= coming
        clock = max(clock, left[0][0]) + left.pop(0)[1] if jumps_first else coming
        if clock < END and (instant := table.due(clock)) is not None:
            runs.append((instant, clock))
            table.done(instant)
            clock += takes
    return runs


sleeps = st.lists(st.tuples(st.floats(BEGIN, END), st.floats(600, 20 * DAY)), max_size=5)


def test_a_day_and_a_weekday_follow_the_rule_of_cron():
    """One of them suffices, unless one begins with `*`: then both must match."""
    zone, begin = ZoneInfo("UTC"), datetime(2026, 11, 29, tzinfo=ZoneInfo("UTC")).timestamp()

    def days(text):
        found, at = [], begin
        for _ in range(4):
            at = Schedule(text, zone).after(at)
            found.append(datetime.fromtimestamp(at, zone).day)
        return found

    assert days("0 2 1 * mon") == [30, 1, 7, 14]
    assert days("0 2 */2 * 1") == [7, 21, 11, 25]


@settings(max_examples=examples(8))
@given(st.sampled_from(FIXED + WILD[1:4]), zones, sleeps)
@pytest.mark.thorough
def test_what_was_slept_through_is_made_up_once(text, zone, asleep):
    """Instants run at once while awake; those of one sleep cause one run, for the last."""
    whole, clock, gaps = instants(text, zone), BEGIN, []
    for begin, length in sorted(asleep):
        gaps.append((max(clock, begin), max(clock, begin) + length))
        clock = gaps[-1][1]
    expected = []
    for instant in whole:
        wakes = [end for begin, end in gaps if begin <= instant <= end]
        at = wakes[-1] if wakes else instant
        if expected and wakes and expected[-1][1] == at:
            expected.pop()
        if at < END:
            expected.append((instant, at))
    assert run_year(text, zone, asleep) == expected


@settings(max_examples=examples(8))
@given(
    st.sampled_from(FIXED + WILD[1:2]),
    zones,
    st.lists(st.tuples(st.floats(BEGIN + 10 * DAY, END), st.floats(60, 9 * DAY)), max_size=1),
)
@pytest.mark.thorough
def test_a_clock_set_back_runs_nothing_twice(text, zone, setbacks):
    """After setbacks of minutes or days, no instant has two runs, and none is lost."""
    ran = [i for i, _ in run_year(text, zone, [(at, -length) for at, length in setbacks])]
    assert len(ran) == len(set(ran))
    assert set(instants(text, zone)) == set(ran)


@given(st.sampled_from(FIXED), zones, st.floats(30 * DAY, 400 * DAY))
def test_a_clock_that_was_far_ahead_is_obeyed_when_corrected(text, zone, ahead):
    """After a year in the future and back, schedules are due as before."""
    table = Timetable(Schedule(text, zone), BEGIN)
    if (instant := table.due(BEGIN + ahead)) is not None:
        table.done(instant)
    now = BEGIN + 3600
    expected = now
    while (expected := table.schedule.after(expected)) in table.ran:
        pass
    assert table.next(now) == expected


@pytest.mark.thorough
def test_a_run_that_takes_longer_than_the_interval_is_followed_by_one():
    """Instants during a run count as missed: the minutes of an hour cause one run after it."""
    zone = ZoneInfo("UTC")
    runs = run_year("*/30 * * * *", zone, takes=3600.0)
    assert {later - sooner for (_, sooner), (_, later) in pairwise(runs)} == {3600.0}
    assert all(at == instant for instant, at in runs)


@pytest.mark.thorough
def test_an_instant_is_the_same_however_it_is_asked_for():
    """The next instant is the same from any moment before it."""
    for zone in map(ZoneInfo, ZONES):
        for text in FIXED[:2] + WILD[1:2]:
            found = instants(text, zone)
            middle = [(a + b) / 2 for a, b in pairwise(found)]
            assert [Schedule(text, zone).after(m) for m in middle] == found[1:]
