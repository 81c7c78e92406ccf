"""Renewal: a sparse history stays small, at the price of little that is stored twice."""

import pytest

from tests.helpers.churn import History
from vault.catalog.rules import Rules

SHORT = Rules(last=7, zone="UTC")
LONG = Rules(daily=14, weekly=8, monthly=24, zone="UTC")


def mean(values):
    return sum(values) / len(values)


def check(figures):
    ratios = [day.stored / day.distinct for day in figures]
    assert max(ratios) <= 2.5
    assert mean(ratios) <= 1.6


@pytest.mark.thorough
def test_two_years_of_a_short_and_a_long_history_stay_small():
    """At each destination against its distinct content; the long one also against no renewal."""
    history = History({"nas": SHORT, "s3": LONG})
    history.run(730)
    for figures in history.figures.values():
        check(figures)
    assert max(day.stored / day.plain for day in history.figures["s3"]) <= 1.5


@pytest.mark.parametrize("rules", [Rules(last=7), Rules(last=30), Rules(daily=7, weekly=4)])
def test_one_destination_stays_small(rules):
    """However its rules are, storing again pays within some months."""
    history = History({"one": rules})
    history.run(200)
    check(history.figures["one"])
    assert sum(history.payloads.values()) < 5 * sum(history.changes.values())
