"""Tree of a backup with counts and sizes, selections of paths, and times in words."""

from datetime import datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from packrat.picker.tree import Tree, covers
from packrat.text.report import when_text
from stages.restore_target.selection import Selection
from tests.helpers.trees import differences, fill
from vault.archive.format import Entry, order, stamp

steps = st.sampled_from(["a", "a-b", "b", "ü", "\udcff", "a.b"])
paths = st.sets(st.lists(steps, min_size=1, max_size=4).map("/".join), max_size=12)


def entries_of(files):
    """Return the entries of some files and of their folders; no path is both."""
    folders = {path[:at] for path in files for at, c in enumerate(path) if c == "/"}
    found = [Entry(type="dir"), *(Entry(path, type="dir") for path in folders)]
    found += [Entry(path, size=len(path) + n) for n, path in enumerate(sorted(files - folders))]
    return sorted(found, key=lambda entry: order(entry.path))


@given(paths)
def test_counts_and_sizes_of_a_folder_include_all_below_it(files):
    """Children, pages, counts and sums agree with a count over all paths."""
    entries = entries_of(files)
    tree = Tree(reversed(entries))
    for folder in [e.path for e in entries if e.type == "dir"]:
        inside = [e for e in entries if e.path and e.path.rpartition("/")[0] == folder]
        children = tree.children(folder)
        assert [child.path for child in children] == [e.path for e in inside]
        assert tree.children(folder, 1, 2) == children[1:3]
        assert tree.count(folder) == len(inside)
        for number, child in enumerate(children):
            below = [e for e in entries if covers([child.path], e.path) and e.type != "dir"]
            assert (child.files, child.size) == (len(below), sum(e.size for e in below))
            assert tree.total([child.path]) == (child.files, child.size)
            assert tree.item(child.path) == child
            assert tree.number(child.path) == number


@given(paths, paths)
def test_a_selection_covers_named_paths_and_all_below(files, named):
    """The set-based decision equals a search through the list."""
    wanted = Selection(named)
    for path in files:
        below = any(path == one or path.startswith(one + "/") for one in named)
        assert wanted.covers(path) == (below or not named)


@pytest.mark.parametrize(
    ("day", "says"),
    [
        (24, "today 02:00"),
        (23, "yesterday 02:00"),
        (20, "Friday 02:00"),
        (12, "12 days ago"),
        (25, "2026-11-25 02:00"),
    ],
)
def test_times_in_words(day, says):
    """Recent times by day and clock, older ones by weekday or number of days."""
    now, then = (
        datetime(2026, 11, *moment).astimezone().timestamp()
        for moment in ((24, 18, 0), (day, 2, 0))
    )
    assert when_text(stamp(then), now) == says


def test_a_destination_that_a_service_no_longer_goes_to_still_restores(house):
    """`--from` accepts any destination of the configuration."""
    fill(house.source, {"a": b"1"})
    house.backed_up()
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"]["new"] = {"type": "local", "path": str(house.root / "new")}
    document["services"]["svc"]["destinations"] = ["new"]
    house.config_file.write_text(yaml.safe_dump(document))
    out = house.root / "out"
    house.json("restore", "svc", "--from", "local", "--to", str(out), "--yes")
    assert differences(house.source, out) == []
