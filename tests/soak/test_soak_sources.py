"""Full campaigns of generated sources and indexes, of which `make test` runs a sample."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.mark.soak
@pytest.mark.parametrize("campaign", ["test_law_hostile_source.py", "test_rescue_agrees.py"])
def test_the_whole_campaign_holds(campaign):
    """A thousand hostile filesystems, five thousand indexes."""
    words = [sys.executable, "-m", "pytest", "-n", "0", TESTS / campaign]
    done = subprocess.run(
        words, env=os.environ | {"PACKRAT_SOAK": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
