"""Second walk: it lists only changed folders, and finds what a fresh walk finds."""

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.source.exclude import Excludes
from stages.source.folder_cache import FolderCache
from stages.source.walk import Walk
from tests.helpers.sampling import examples

NAMES = st.sampled_from(["a", "b", "a-b", "ä", os.fsdecode(b"\xff"), "line\nbreak"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: Path(*names))
CHANGES = st.tuples(
    st.sampled_from(["file", "folder", "remove", "rename", "exchange"]), PATHS, PATHS
)
TICK = 0.02
"""More than a tick of the kernel's clock, in seconds."""
LATER = 3600 * 10**9
"""A walk that began so late trusts every folder."""


@contextmanager
def opened(folder):
    """Open a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def found_by(root, folder_cache=None):
    """Return paths and their types, in the order of a walk."""

    def unreadable(path, error):
        raise AssertionError((path, error))

    walked = Walk(root, Excludes([]), set(), unreadable, folder_cache)
    return [(found.path, found.stat.st_ino, found.stat.st_size) for found in walked]


def change(what, one, other):
    """Apply one change to a tree, if possible."""
    try:
        if what == "file":
            one.write_bytes(b"x" * len(one.name))
        elif what == "folder":
            one.mkdir(parents=True)
        elif what == "remove":
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        elif what == "rename":
            one.rename(other)
        else:
            aside = one.with_name("aside")
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
    except OSError:
        return


@settings(max_examples=examples(20), deadline=None)
@given(before=st.lists(CHANGES, max_size=12), after=st.lists(CHANGES, max_size=6))
def test_the_second_walk_finds_what_a_fresh_one_finds(before, after):
    """Whatever was added, deleted, renamed or exchanged in between."""
    with TemporaryDirectory() as folder, opened(folder) as root:
        for what, one, other in before:
            change(what, folder / one, folder / other)
        folder_cache = FolderCache(root, time.time_ns() + LATER)
        found_by(root, folder_cache)
        time.sleep(TICK)
        for what, one, other in after:
            change(what, folder / one, folder / other)
        assert found_by(root, folder_cache) == found_by(root)


@pytest.fixture
def listed(monkeypatch):
    """Record the paths of the folders that are listed."""
    folders = []
    real = os.listdir

    def listdir(folder):
        folders.append(os.readlink(f"/proc/self/fd/{folder}"))
        return real(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    return folders


def test_folders_that_did_not_change_are_not_listed(tmp_path, listed):
    """Of three folders, only the one with a new file is listed."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    with opened(tmp_path) as root:
        folder_cache = FolderCache(root, time.time_ns() + LATER)
        found_by(root, folder_cache)
        time.sleep(TICK)
        (tmp_path / "two/new").write_text("x")
        listed.clear()
        paths = [path for path, *_ in found_by(root, folder_cache)]
    assert listed == [str(tmp_path / "two")]
    assert paths == ["", "one", "one/file", "two", "two/file", "two/new"]


def test_a_folder_that_changed_just_before_the_walk_is_listed_again(tmp_path, listed):
    """Before Linux 6.13, a change in the same tick of the clock left no trace."""
    with opened(tmp_path) as root:
        folder_cache = FolderCache(root, time.time_ns())
        found_by(root, folder_cache)
        listed.clear()
        found_by(root, folder_cache)
    assert listed == [str(tmp_path)]
