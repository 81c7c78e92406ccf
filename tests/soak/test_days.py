"""Sample of simulated days: no false alarm from any verification, and no damage missed.

The full run: python -m tests.soak.days --seed N --days 120
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
def test_verifications_over_many_days_tell_the_truth(tmp_path, seed, rules):
    """With kills, an absent destination, and damage at one and at both."""
    days = Days(tmp_path, seed, files=40, keep=4, **rules)
    days.run(40)
    assert days.counts["ok"] > 50
    assert days.counts["restored"] > 10
    assert days.counts["flipped"] + days.counts["deleted"] > 0
