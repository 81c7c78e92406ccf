"""Simulated days: no false alarm from any command, and no damage or deletion missed.

The full run: make soak, or python -m tests.soak.days --seed N --days 400
"""

import pytest

from tests.soak.days import Days


@pytest.mark.parametrize(
    ("seed", "rules"),
    [
        (3, {}),
        pytest.param(8, {}, marks=pytest.mark.thorough),
        pytest.param(5, {"weekly": 3, "monthly": 2}, marks=pytest.mark.thorough),
    ],
)
def test_commands_over_many_days_tell_the_truth(tmp_path, seed, rules):
    """With kills, an absent destination, and damage at one and at both."""
    days = Days(tmp_path, seed, files=40, keep=4, **rules)
    days.run(40)
    assert days.counts["ok"] > 50
    assert days.counts["restored"] > 10
    assert days.counts["flipped"] + days.counts["deleted"] > 0


@pytest.mark.soak
def test_commands_over_400_days_tell_the_truth(tmp_path, soak_seed):
    """As above, long enough for every kind of event to meet every other."""
    days = Days(tmp_path, soak_seed, files=60, keep=7)
    days.run(400)
    assert min(days.counts[kind] for kind in ("alarms", "killed", "away", "damaged")) > 5
