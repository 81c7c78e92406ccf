"""Fixtures for the tests of stage kinds from other packages."""

import pytest

from tests.helpers.packages import WATCH, install


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Folder on the path, with packages that add kinds."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    install(folder, WATCH, "virus_scan")
    return folder
