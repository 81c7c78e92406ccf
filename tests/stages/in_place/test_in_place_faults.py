"""Sample of the faults of `make soak`: every n-th call fails, or the process is killed there."""

import pytest

from tests.helpers.in_place_faults import OPERATIONS, campaign

STEP = 7
"""Every seventh call; `make soak` injects faults at all of them."""


@pytest.mark.parametrize("how", ["SIGKILL", "EIO", "ENOSPC"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_leaves_the_old_state_or_the_new_one_and_loses_nothing(disk, operation, how):
    offset = {"SIGKILL": 1, "EIO": 3, "ENOSPC": 5}[how]
    assert campaign(disk, operation, how, numbers=range(offset, 2000, STEP)) > 3


@pytest.mark.parametrize("operation", ["swap", "undo"])
@pytest.mark.thorough
def test_a_filesystem_without_exchange_loses_nothing_either(disk, operation):
    numbers = range(2, 2000, STEP)
    assert campaign(disk, operation, "SIGKILL", numbers=numbers, exchanges=False) > 5


@pytest.mark.parametrize("operation", ["swap", "undo", "forget"])
def test_a_disk_that_fails_for_good_loses_nothing(disk, operation):
    numbers = range(4, 2000, STEP)
    assert campaign(disk, operation, "EIO", numbers=numbers, lasting=True) > 3
