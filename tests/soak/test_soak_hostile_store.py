"""A thousand hostile stores beside a good one; tests/laws/test_hostile_store.py runs a sample."""

import pytest

from tests.laws.test_hostile_store import everything_loaded, in_a_process

SEEDS, BLOCK = 1000, 50

__all__ = ["everything_loaded"]


@pytest.mark.soak
@pytest.mark.usefixtures("everything_loaded")
@pytest.mark.parametrize("block", range(0, SEEDS, BLOCK))
def test_hostile_stores_keep_a_good_one_from_no_backup(block, soak_seed):
    """--soak-seed chooses a thousand others."""
    for seed in range(block, block + BLOCK):
        in_a_process(soak_seed * SEEDS + seed)
