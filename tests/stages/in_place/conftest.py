"""Small disk for tests that sync it hundreds of times."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.helpers.disks_in_place import mounted


@pytest.fixture
def disk(tmp_path):
    """ext4 on a loop device in memory; the temporary folder if nothing can be mounted."""
    if os.geteuid() or not os.path.exists("/dev/loop-control"):
        yield tmp_path
        return
    memory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        with mounted(memory / "image", tmp_path / "disk") as disk:
            yield disk
    finally:
        shutil.rmtree(memory)
