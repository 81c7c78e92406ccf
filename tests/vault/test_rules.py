"""Rules of retention: a table of expectations by hand, and what is true of any rules."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from vault.catalog.rules import PERIODS, Candidate, Rules, hold, upcoming

BERLIN = "Europe/Berlin"


def day_range(first, count):
    """Return so many days from a date on, at 12:00 UTC."""
    start = int(datetime.fromisoformat(f"{first}T12:00Z").timestamp())
    return [
        datetime.fromtimestamp(start + n * 86_400, UTC).strftime("%Y-%m-%dT%H:%MZ")
        for n in range(count)
    ]


def candidate(text):
    """Return a backup of that time; a ! after it marks one that lacks files."""
    time = int(datetime.fromisoformat(text.rstrip("!")).timestamp())
    return Candidate(f"{time:012}", time, not text.endswith("!"))


TABLE = {
    "month ends of 31, 28 and 31 days": (
        day_range("2026-01-28", 36),  # to 4 March
        Rules(monthly=3, zone="UTC"),
        ["2026-01-31T12:00Z", "2026-02-28T12:00Z", "2026-03-04T12:00Z"],
    ),
    "a leap day is a day and a month end": (
        day_range("2024-02-27", 5),  # to 2 March
        Rules(daily=3, monthly=2, zone="UTC"),
        ["2024-02-29T12:00Z", "2024-03-01T12:00Z", "2024-03-02T12:00Z"],
    ),
    "a year ends on 31 December, also a leap year": (
        day_range("2024-12-30", 3) + day_range("2025-12-30", 3),
        Rules(yearly=3, zone="UTC"),
        ["2024-12-31T12:00Z", "2025-12-31T12:00Z", "2026-01-01T12:00Z"],
    ),
    "week 53 goes on after New Year": (
        day_range("2026-12-26", 11),  # Saturday to Tuesday
        Rules(weekly=3, zone="UTC"),
        ["2026-12-27T12:00Z", "2027-01-03T12:00Z", "2027-01-05T12:00Z"],
    ),
    "the day of 23 hours": (
        ["2026-03-28T23:30Z", "2026-03-29T00:30Z", "2026-03-29T21:59Z", "2026-03-29T22:01Z"],
        Rules(daily=2, zone=BERLIN),
        ["2026-03-29T21:59Z", "2026-03-29T22:01Z"],
    ),
    "the day of 25 hours, with 02:30 twice": (
        ["2026-10-24T22:30Z", "2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T22:59Z"],
        Rules(daily=2, zone=BERLIN),
        ["2026-10-25T22:59Z"],
    ),
    "after the day of 25 hours": (
        ["2026-10-25T00:30Z", "2026-10-25T22:59Z", "2026-10-25T23:00Z"],
        Rules(daily=2, zone=BERLIN),
        ["2026-10-25T22:59Z", "2026-10-25T23:00Z"],
    ),
    "the zone decides on the year": (
        ["2026-12-31T22:30Z", "2026-12-31T23:30Z"],
        Rules(yearly=2, zone=BERLIN),
        ["2026-12-31T22:30Z", "2026-12-31T23:30Z"],
    ),
    "the same times in UTC": (
        ["2026-12-31T22:30Z", "2026-12-31T23:30Z"],
        Rules(yearly=2, zone="UTC"),
        ["2026-12-31T23:30Z"],
    ),
    "days without a backup do not count": (
        ["2026-01-01T12:00Z", "2026-01-10T12:00Z", "2026-02-20T12:00Z", "2026-05-01T12:00Z"],
        Rules(daily=3, zone="UTC"),
        ["2026-01-10T12:00Z", "2026-02-20T12:00Z", "2026-05-01T12:00Z"],
    ),
    "within counts from the newest": (
        day_range("2020-01-01", 10),
        Rules(within=2 * 86_400),
        ["2020-01-08T12:00Z", "2020-01-09T12:00Z", "2020-01-10T12:00Z"],
    ),
    "a period keeps its newest complete backup": (
        ["2026-01-01T10:00Z", "2026-01-01T11:00Z", "2026-01-01T12:00Z!", "2026-01-02T12:00Z"],
        Rules(daily=2, zone="UTC"),
        ["2026-01-01T11:00Z", "2026-01-02T12:00Z"],
    ),
    "a period without a complete backup keeps its newest": (
        ["2026-01-01T10:00Z!", "2026-01-01T12:00Z!", "2026-01-02T12:00Z"],
        Rules(daily=2, zone="UTC"),
        ["2026-01-01T12:00Z!", "2026-01-02T12:00Z"],
    ),
    "the newest stays, complete or not": (
        ["2026-01-01T12:00Z", "2026-01-01T13:00Z!"],
        Rules(daily=1, zone="UTC"),
        ["2026-01-01T12:00Z", "2026-01-01T13:00Z!"],
    ),
    "rules add up": (
        [*day_range("2026-01-30", 4), "2026-02-02T13:00Z", "2026-02-02T14:00Z"],
        Rules(last=2, daily=2, monthly=2, zone="UTC"),
        ["2026-01-31T12:00Z", "2026-02-01T12:00Z", "2026-02-02T13:00Z", "2026-02-02T14:00Z"],
    ),
    "last counts runs, not days": (
        ["2026-01-01T12:00Z", "2026-01-02T12:00Z", "2026-01-02T13:00Z"],
        Rules(last=2),
        ["2026-01-02T12:00Z", "2026-01-02T13:00Z"],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_rules_keep_what_a_person_expects(case):
    backups, rules, kept = TABLE[case]
    assert sorted(hold(rules, map(candidate, backups))) == [candidate(one).name for one in kept]


minutes = st.integers(0, 4 * 366 * 24 * 60)
histories = st.dictionaries(minutes, st.booleans(), min_size=1, max_size=40).map(
    lambda found: [
        Candidate(f"{time:012}", 1_700_000_000 + time * 60, good)
        for time, good in sorted(found.items())
    ]
)
counts = st.integers(0, 6)
any_rules = st.builds(
    Rules,
    last=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within=st.sampled_from([0, 3600, 86_400, 90 * 86_400]),
    zone=st.sampled_from(["UTC", BERLIN, "Pacific/Apia", "America/St_Johns"]),
)


@given(histories, any_rules)
def test_a_rule_keeps_as_many_as_it_promises(backups, rules):
    """One for each of the last periods that have a backup, and so many of the last."""
    held = hold(rules, backups)
    of_rule = {
        rule: sum(any(one.rule.split()[0] == rule for one in holds) for holds in held.values())
        for rule in ("last", *PERIODS)
    }
    assert of_rule["last"] == min(rules.last, len(backups))
    zone = ZoneInfo(rules.zone)
    for rule, form in {
        "daily": "%Y-%m-%d",
        "weekly": "%G-%V",
        "monthly": "%Y-%m",
        "yearly": "%Y",
    }.items():
        periods = {datetime.fromtimestamp(one.time, zone).strftime(form) for one in backups}
        assert of_rule[rule] == min(getattr(rules, rule), len(periods))
    assert backups[-1].name in held


@given(histories, any_rules, st.sampled_from([*Rules.__struct_fields__[:6]]), st.integers(1, 5))
def test_raising_a_number_never_deletes_more(backups, rules, rule, more):
    raised = structs.replace(rules, **{rule: getattr(rules, rule) + more})
    assert hold(rules, backups).keys() <= hold(raised, backups).keys()


@given(histories, any_rules, st.integers(1, 40))
def test_what_has_expired_is_never_kept_again(backups, rules, since):
    """Its references may be gone by then, which must not look like a loss."""
    before, after = backups[:since], hold(rules, backups)
    gone = {one.name for one in before} - hold(rules, before).keys()
    assert not gone & after.keys()


@given(histories, any_rules)
def test_a_backup_is_released_by_the_time_that_was_estimated(backups, rules):
    """If backups go on: renewal relies on it."""
    spacing = 86_400
    newest = backups[-1].time
    daily = [Candidate(f"a{n:06}", newest + n * spacing) for n in range(1, 9)]
    known = [*backups, *daily]
    held = hold(rules, known)
    now = known[-1].time
    for days in (1, 10, 100, 1000):
        later = [Candidate(f"b{n:06}", now + n * spacing) for n in range(1, days + 1)]
        still = hold(rules, [*known, *later]).keys()
        for name, holds in held.items():
            if max(one.seconds for one in holds) < days * spacing and name != known[-1].name:
                assert name not in still


def test_upcoming_backups_are_the_newest():
    assert [one.name > "z" * 9 for one in upcoming(5.5, 2)] == [True, True]
