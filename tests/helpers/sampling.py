"""Size of the samples of generated inputs: a few by default, a campaign with --soak."""

import os

SOAK = "PACKRAT_SOAK"
"""Environment variable that --soak sets, because decorators are evaluated before any fixture."""
FACTOR = 25


def examples(number: int) -> int:
    """Return how many inputs Hypothesis generates where `number` are enough for each day."""
    return number * FACTOR if os.environ.get(SOAK) else number
