"""Tree of a backup with counts and sizes, selections of paths, and times in words."""

from datetime import datetime
from fnmatch import fnmatchcase

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from packrat.picker.ticks import Ticks
from packrat.picker.tree import Tree
from packrat.text.report import when_text
from stages.restore_target.selection import Selection
from tests.helpers.trees import differences, fill
from vault.archive.format import Entry, order, stamp

steps = st.sampled_from(["a", "a-b", "b", "ü", "\udcff", "a.b"])
paths = st.sets(st.lists(steps, min_size=1, max_size=4).map("/".join), max_size=12)


def covers(named, path):
    """Return whether a path is one of some paths or below one of them."""
    return any(path == one or path.startswith(one + "/") for one in named)


def entries_of(files):
    """Return the entries of some files and of their folders; no path is both."""
    folders = {path[:at] for path in files for at, c in enumerate(path) if c == "/"}
    found = [Entry(type="dir"), *(Entry(path, type="dir") for path in folders)]
    found += [Entry(path, size=len(path) + n) for n, path in enumerate(sorted(files - folders))]
    return sorted(found, key=lambda entry: order(entry.path))


@given(paths)
def test_counts_and_sizes_of_a_folder_include_all_below_it(files):
    """Children, counts and sums agree with a count over all paths."""
    entries = entries_of(files)
    tree = Tree(reversed(entries))
    for folder in [e.path for e in entries if e.type == "dir"]:
        inside = [e for e in entries if e.path and e.path.rpartition("/")[0] == folder]
        children = tree.children(folder)
        assert [tree.path(number) for number in children] == [e.path for e in inside]
        for number in children:
            item = tree.item(number)
            below = [e for e in entries if covers([item.path], e.path) and e.type != "dir"]
            assert (item.files, item.size) == (len(below), sum(e.size for e in below))
            assert tree.number(item.path) == number


@given(paths, st.sampled_from(["a", "B", "*b", "?-b", "a/", "*/b", "ü", "a/*"]))
def test_a_filter_finds_parts_of_names_and_whole_names_by_patterns(files, text):
    """With a slash the path below the folder counts, in any case."""
    entries = entries_of(files)
    tree = Tree(entries)
    for folder in ["", *(e.path for e in entries if e.type == "dir" and e.path)]:
        below = [e.path for e in entries if e.path.startswith(folder + "/" * bool(folder))]
        names = [path[len(folder) + bool(folder) :] for path in below if path != folder]
        names = [name for name in names if name]
        wanted = [
            name
            for name in names
            if _matches(name if "/" in text else name.rpartition("/")[2], text.lower())
        ]
        found = [
            tree.path(number)[len(folder) + bool(folder) :] for number in tree.find(text, folder)
        ]
        assert found == wanted


def _matches(name, text):
    return fnmatchcase(name, text) if set(text) & set("*?") else text in name


@given(paths, st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=8))
def test_ticks_are_those_of_a_set_of_all_paths(files, presses):
    """Marks and totals equal those of a plain set of ticked files and folders."""
    tree = Tree(entries_of(files))
    ticks, plain = Ticks(tree), set()
    for all_, n in presses:
        shown = tree.children("") if all_ else [1 + n % max(len(tree) - 1, 1)]
        if len(tree) == 1:
            continue
        paths = [tree.path(number) for number in shown]
        if all_:
            ticks.toggle_all(shown)
            if all(covers(plain, path) for path in paths):
                plain -= set(paths)
            else:
                plain = {one for one in plain if not covers(paths, one)} | set(paths)
        else:
            ticks.toggle(shown[0])
            covering = {one for one in plain if covers([one], paths[0])}
            below = {one for one in plain if covers(paths, one)}
            plain = plain - covering if covering else plain - below | set(paths)
    assert set(ticks.paths) == plain
    items = [tree.item(number) for number in range(len(tree))]
    files = [item for item in items if not item.folder and covers(plain, item.path)]
    assert (ticks.files, ticks.size) == (len(files), sum(item.size for item in files))
    for item in items[1:]:
        inside = any(covers([item.path], one) for one in plain)
        mark = "x" if covers(plain, item.path) else "-" if inside else " "
        assert ticks.mark(item.path) == mark


@given(paths, paths)
def test_a_selection_covers_named_paths_and_all_below(files, named):
    """The set-based decision equals a search through the list."""
    wanted = Selection(named)
    for path in files:
        assert wanted.covers(path) == (covers(named, path) or not named)


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
