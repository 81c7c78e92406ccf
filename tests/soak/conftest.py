"""Arguments and disks of the campaigns that `make soak` runs in full."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def soak_seed(request):
    """Seed of generated inputs."""
    return request.config.getoption("--soak-seed")


@pytest.fixture
def soak_size(request):
    """Number of generated inputs, or of races."""
    return request.config.getoption("--soak-size")


@pytest.fixture
def memory():
    """Folder on a filesystem in memory that has exchanges and file handles."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)
