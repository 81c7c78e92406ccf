"""Samples of campaigns: what `make test` runs of generated inputs and of many parameters."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

SOAK = "PACKRAT_SOAK"
"""Environment variable that --soak sets, because decorators are evaluated before any fixture."""
FACTOR = 25


def examples(number: int) -> int:
    """Return how many inputs Hypothesis generates where `number` are enough for each day."""
    return number * FACTOR if os.environ.get(SOAK) else number


def sample(values: Sequence[Any], every: int = 3) -> list[Any]:
    """Return parameters, of which `make test` uses each n-th, and `make test-all` the others."""
    return daily(values, values[::every])


def daily(values: Sequence[Any], chosen: Sequence[Any]) -> list[Any]:
    """Return parameters, those chosen for `make test`, and the others for `make test-all`."""
    assert any(one in values for one in chosen), f"none of {chosen} is a parameter"
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=[] if value in chosen else [pytest.mark.thorough],
        )
        for value in values
    ]
