"""Differential fuzzing of packrat and rescue.py; see `tests/laws/fuzz.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.sampling import examples

ROOT = Path(__file__).parents[2]


@pytest.mark.hypothesis
@pytest.mark.thorough
def test_packrat_and_rescue_give_the_same_verdict_on_changed_archives():
    """An archive of somebody who has the key is restored by both readers alike, or by neither."""
    command = [sys.executable, "-m", "tests.laws.fuzz", "0", str(examples(200))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["disagreed"] == []
    assert min(found["both"], found["neither"]) > 20
    assert found["memory"] < 300
