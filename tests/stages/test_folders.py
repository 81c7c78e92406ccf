"""Folders opened by handles, of which few stay open however many folders there are."""

import os

import pytest

from stages.restore_target import folders
from stages.restore_target.folders import NewFolders

TREE = [f"{a}/{b}/{c}" for a in "abc" for b in "abcd" for c in "ab"]


def handles():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("wanted", "limit"), [(5, None), (4096, 60)])
def test_many_folders_by_few_handles(tmp_path, monkeypatch, wanted, limit):
    """At most half of what the process may open."""
    monkeypatch.setattr(folders, "HANDLES", wanted)
    if limit:
        monkeypatch.setattr(folders.resource, "getrlimit", lambda _: (limit, limit))
    root = os.open(tmp_path, os.O_RDONLY)
    before = handles()
    found = NewFolders({"": root}, again=False)
    for _ in range(2):  # the second time all of them exist
        for path in TREE:
            folder, name = found.parent(f"{path}/file")
            assert name == "file"
            assert os.path.samestat(os.stat(folder), os.stat(tmp_path / path))
            assert handles() - before <= min(wanted, (limit or 1000) // 2)
    found.close()
    assert handles() == before
    os.close(root)
