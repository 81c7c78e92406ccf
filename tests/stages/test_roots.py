"""Roots of a service: several folders in one archive, restored to a folder and in place."""

import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.run import Clock
from packrat.picker.preview import Preview
from packrat.restore.opened import OpenedBackup
from packrat.restore.unlock import choose_and_unlock
from stages.in_place import moves
from stages.in_place.record import read_records
from stages.in_place.recover import recover
from stages.in_place.restore import swap
from stages.in_place.staging import TargetRoot, prepare
from stages.in_place.undo import newest_undoable, undo
from stages.source.roots import labels_of
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.in_place import Place, look
from tests.helpers.needs import need_mounts
from tests.helpers.sampling import examples
from tests.helpers.trees import differences, fill
from vault.archive.lineage import Root

RESCUE = Path(__file__).parents[2] / "rescue.py"
NAMES = st.text("abc-.", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


def settle(house, **service):
    """Replace the settings of the service."""
    document = yaml.safe_load(house.config_file.read_text())
    document["services"] = {house.service: service}
    house.config_file.write_text(yaml.safe_dump(document))
    return house


@pytest.fixture
def house(tmp_path):
    """A service with two folders of the same name, and one elsewhere."""
    folders = [tmp_path / "a/data", tmp_path / "b/data", tmp_path / "conf"]
    for number, folder in enumerate(folders):
        fill(folder, {"x": b"x%d" % number, "sub/y": b"%d" % number * 100_000, "log.tmp": b"t"})
    os.link(folders[0] / "x", folders[2] / "hard")
    house = settle(House(tmp_path), paths=[str(folder) for folder in folders], exclude=["*.tmp"])
    house.folders = dict(zip(("a-data", "b-data", "conf"), folders, strict=True))
    return house


@settings(max_examples=examples(50))
@given(st.lists(st.lists(NAMES, max_size=4).map(lambda names: "/" + "/".join(names)), unique=True),
       st.sets(NAMES, max_size=2))  # fmt: skip
def test_labels_are_distinct_names_and_do_not_depend_on_the_order(paths, taken):
    labels = labels_of(paths, taken)
    assert len({*labels, *taken}) == len(paths) + len(taken)
    assert all(label not in ("", ".", "..") and "/" not in label for label in labels)
    backwards = labels_of(paths[::-1], taken)
    assert dict(zip(paths, labels, strict=True)) == dict(zip(paths[::-1], backwards, strict=True))


def test_a_restore_makes_a_folder_of_each_root(house):
    """Hard links between roots are kept."""
    house.backed_up()
    out = house.restore()
    assert sorted(os.listdir(out)) == ["a-data", "b-data", "conf"]
    for label, folder in house.folders.items():
        (folder / "log.tmp").unlink()
        os.utime(folder, ns=(os.stat(out / label).st_atime_ns, os.stat(out / label).st_mtime_ns))
        assert differences(folder, out / label) == []
    assert os.path.samefile(out / "a-data/x", out / "conf/hard")
    manifest = house.catalog().backups[-1].summary
    assert manifest.roots == [
        Root(label, "folder", str(folder)) for label, folder in house.folders.items()
    ]


@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(NAMES, st.binary(max_size=20), max_size=3), min_size=2, max_size=3))
def test_any_trees_come_back_to_their_folders(tmp_path, trees):
    base = Path(tempfile.mkdtemp(dir=tmp_path))
    folders = [base / f"{number}-" for number in range(len(trees))]
    for folder, tree in zip(folders, trees, strict=True):
        fill(folder, {"always": b"1"} | tree)
    house = settle(House(base / "house"), paths=[str(folder) for folder in folders])
    house.backed_up()
    out = house.restore()
    assert [differences(folder, out / folder.name) for folder in folders] == [[]] * len(trees)
    for folder in folders:
        (folder / "always").write_bytes(b"2")
        (folder / "new").write_bytes(b"3")
    assert house.cli("restore", "svc", "--in-place", "--yes").returncode == 0
    assert house.cli("restore", "--forget", "svc").returncode == 0
    for folder in folders:  # the deletion of the working folder has changed the folder's time
        found = differences(folder, out / folder.name)
        assert [fault for fault in found if not fault.startswith(".: mtime")] == []


def test_rescue_restores_every_root(house):
    house.backed_up()
    out = house.restore()
    words = [str(house.archives[0]), str(house.root / "rescued"), "--key-file", str(house.key_file)]
    subprocess.run([sys.executable, RESCUE, *words], check=True, capture_output=True)
    assert differences(out, house.root / "rescued") == []


def test_unchanged_files_of_all_roots_stay_closed(house):
    later = Clock(now=lambda: time.time_ns() + 10**10)
    house.back_up(clock=later)
    (house.folders["b-data"] / "new").write_bytes(b"new")
    second = house.back_up(clock=later)
    assert (second.files, second.read) == (8, 3)


@pytest.mark.parametrize("written", ["b-data/sub", "absolute"])
def test_a_path_is_named_by_its_label_or_where_it_is(house, written):
    house.backed_up()
    named = str(house.folders["b-data"] / "sub") if written == "absolute" else written
    done = house.cli("restore", "svc", "--to", str(house.root / "out"), "--path", named, "--yes")
    assert done.returncode == 0, done.stderr
    assert [str(p.relative_to(house.root / "out")) for p in (house.root / "out").rglob("*")] == [
        "b-data", "b-data/sub", "b-data/sub/y"]  # fmt: skip
    assert "b-data/sub/y" in house.cli("ls", "svc", "latest", named).stdout
    assert "in: b-data/sub/" in house.cli("explain", "svc", named).stdout
    assert f"svc: a-data from {house.folders['a-data']}, b-data from" in house.cli("check").stdout


def test_a_root_that_has_lost_all_its_files_fails_the_backup(house):
    """Its disk may not be mounted, and the other roots would hide that."""
    house.backed_up()
    folder = house.folders["conf"]
    for name in ("x", "hard", "sub/y", "log.tmp"):
        (folder / name).unlink()
    result = house.back_up()
    assert result.error.startswith(f"{folder} has no files, and its last backup has 3")
    assert len(house.archives) == 1


def test_in_place_each_root_goes_to_its_own_place_and_back(house):
    house.backed_up()
    before = {label: look(folder) for label, folder in house.folders.items()}
    for label, folder in house.folders.items():
        (folder / "x").write_bytes(b"changed")
        (folder / "new").write_bytes(label.encode())
    changed = {label: look(folder) for label, folder in house.folders.items()}
    document = house.json("restore", "svc", "--in-place", "--yes")
    assert [(root["label"], root["target"]) for root in document["roots"]] == [
        (label, str(folder)) for label, folder in house.folders.items()
    ]
    aside = [Path(folder) for folder in document["replaced_folders"]]
    assert [folder.parent for folder in aside] == [*house.folders.values()]
    for words in (["status"], ["status", "svc"]):
        said = house.cli(*words).stdout
        assert said.count("a restore in place set aside") == 1, "one restore, one sentence"
        assert all(f" {folder}\n" in said for folder in aside)
    for label, folder in house.folders.items():
        now = look(folder, {(os.stat(one).st_dev, os.stat(one).st_ino) for one in aside})
        assert {name: state[1] for name, state in now.items()} == {
            name: state[1] for name, state in before[label].items()
        }
    assert house.cli("restore", "--undo", "svc").returncode == 0
    for label, folder in house.folders.items():
        own = {(os.stat(one).st_dev, os.stat(one).st_ino) for one in aside}
        assert look(folder, own) == changed[label]


def test_some_roots_in_place_leave_the_others_alone(house):
    house.backed_up()
    for folder in house.folders.values():
        (folder / "x").write_bytes(b"changed")
    assert house.cli("restore", "svc", "--in-place", "--yes", "--path", "conf").returncode == 0
    assert [(folder / "x").read_bytes() for folder in house.folders.values()] == [
        b"changed", b"changed", b"x2"]  # fmt: skip


@pytest.mark.parametrize("path", ["nowhere", "nowhere/x", "a-data2/x"])
def test_a_path_of_no_root_is_refused_with_the_labels(house, path):
    house.backed_up()
    refused = house.cli("restore", "svc", "--in-place", "--yes", "--path", path)
    assert refused.returncode == 4
    assert f"has no {path!r}; --path begins with one of: a-data, b-data, conf" in refused.stderr


def test_the_preview_names_only_the_roots_of_the_selection(house):
    house.backed_up()
    program = house.program
    _, chosen = choose_and_unlock(program, "svc", "latest", None, None)
    opened = OpenedBackup("svc", chosen, program.keys)

    def preview(*paths):
        return "".join(line[10:] for line in Preview(opened, paths, program.config).in_place())

    some, everything = preview("conf/x"), preview()
    assert str(house.folders["conf"]) in some
    assert str(house.folders["a-data"]) not in some
    assert all(str(folder) in everything for folder in house.folders.values())


def test_backup_of_one_folder_goes_back_to_it_after_the_service_got_more(house):
    """And the other way round: roots are matched by what was read."""
    only = house.folders["a-data"]
    settle(house, path=str(only))
    house.backed_up()
    (only / "x").write_bytes(b"changed")
    settle(house, paths=[str(folder) for folder in house.folders.values()])
    assert house.cli("restore", "svc", "--in-place", "--yes").returncode == 0
    assert (only / "x").read_bytes() == b"x0"
    house.backed_up()
    settle(house, path=str(only))
    refused = house.cli("restore", "svc", "--in-place", "--yes")
    assert refused.returncode == 4
    assert "folder b-data, which has no place in the service" in refused.stderr
    (only / "x").write_bytes(b"changed")
    words = ("restore", "svc", "--in-place", "--yes", "--path")
    assert house.cli(*words, "/a-data").returncode == 0
    assert (only / "x").read_bytes() == b"x0"


class Two:
    """Service with two roots, each with an old and a new state."""

    def __init__(self, base):
        self.places = [Place(base / name).fill() for name in ("one", "two")]
        self.state = str(base / "state")
        for place in self.places:
            place.state = self.state

    def restore(self, check=lambda: None):
        there = [TargetRoot(place.base.name, str(place.path)) for place in self.places]
        with prepare(self.state, "svc", there, "1" * 32, 1e9) as staging:
            for place, root in zip(self.places, staging.roots, strict=True):
                place.write(root)
            swap(self.state, staging, self._patterns, (), check, 1e9)
        return 0

    def undo(self):
        records = newest_undoable(self.state, "svc")
        undo(self.state, records, {}, self._patterns, (), 1e9)
        return 0

    def _patterns(self, _):
        return self.places[0].exclude

    def states(self):
        """Return "old" or "new" for each root, as it is after a recovery.

        The time of the folder itself does not count: a working folder may have been made in it.
        """
        assert recover(self.state, "svc", 1e9).owed == ()
        found = []
        for place in self.places:
            now, old, new = ({k: v for k, v in one.items() if k != "."}
                             for one in (place.look(), place.old, place.new))  # fmt: skip
            found.append("old" if now == old else "new" if now == new else "torn")
        return found


def exits_at(number):
    """Return a function that ends its process when it is called for the n-th time."""
    calls = count(1)

    def step(*_):
        if next(calls) == number:
            os._exit(9)

    return step


def test_restore_killed_at_each_step_leaves_both_roots_old_or_both_new(tmp_path):
    for number in count(2, 3):
        two = Two(tmp_path / str(number))
        status = ended(forked(partial(two.restore, exits_at(number))))
        assert status in (0, 9)
        assert two.states() == (["old"] * 2 if status else ["new"] * 2)
        assert len({record.phase for record in read_records(two.state, "svc")}) == 1
        if not status:
            break
    assert number > 12


def test_undo_killed_at_each_step_is_finished_for_both_roots(tmp_path, monkeypatch):
    take_back = moves.take_back
    for number in (1, 2, 3):
        two = Two(tmp_path / str(number))
        two.restore()
        steps = Mock(side_effect=exits_at(number))
        both = lambda *side, steps=steps: (steps(), take_back(*side))[1]  # noqa: E731
        monkeypatch.setattr(moves, "take_back", both)
        assert ended(forked(two.undo)) == (9 if number < 3 else 0)
        monkeypatch.undo()
        assert two.states() == ["old"] * 2


@pytest.mark.thorough
def test_error_in_the_second_root_takes_the_first_one_back(tmp_path):
    two = Two(tmp_path)
    calls = count(1)

    def check():
        if next(calls) == 12:
            raise OSError(5, "Input/output error", "x")

    with pytest.raises(Exception, match="cannot restore in place"):
        two.restore(check)
    assert two.states() == ["old"] * 2


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ({}, "services.svc.path: is missing"),
        ({"paths": ["/srv/a", "/srv/a/b"]}, "services.svc.paths[1]: is inside /srv/a"),
        ({"path": "/srv/a/b", "paths": ["/srv/a"]}, "services.svc.paths[0]: contains /srv/a/b"),
        ({"paths": ["/srv/a", "/srv/a/"]}, "services.svc.paths[1]: is inside /srv/a"),
        ({"paths": "/srv/a"}, "services.svc.paths: not a list"),
        ({"volumes": ["/srv/a"]}, "services.svc.volumes[0]: not a volume's name"),
        ({"compose": "Immich App"}, "services.svc.compose: not a Compose project's name"),
        ({"path": "/srv", "docker": {"host": "x"}}, "services.svc.docker: needs one of container"),
    ],
)
def test_fault_of_roots_is_reported_where_it_is(tmp_path, service, fault):
    done = settle(House(tmp_path), **service).cli("check")
    assert done.returncode == 3
    assert fault in done.stderr


def test_examples_of_the_documentation_are_valid(tmp_path):
    page = (RESCUE.parent / "docs/services.md").read_text()
    blocks = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    services = [one["services"] for one in blocks if "services" in one]
    assert {"wiki", "immich", "gitea"} <= {name for one in services for name in one}
    house = House(tmp_path)
    document = yaml.safe_load(house.config_file.read_text())
    for one in services:
        document["services"] = one
        house.config_file.write_text(yaml.safe_dump(document))
        assert house.cli("plan").returncode == 0


@pytest.mark.root
def test_pseudo_filesystem_inside_is_left_out(tmp_path):
    """Its mount point is in the backup, so that a restored system has it."""
    need_mounts()
    house = House(tmp_path)
    (house.source / "proc").mkdir()
    (house.source / "file").write_bytes(b"1")
    subprocess.run(["mount", "-t", "proc", "proc", house.source / "proc"], check=True)
    try:
        assert house.back_up().files == 1
        refused = settle(house, path=str(house.source / "proc")).back_up()
    finally:
        subprocess.run(["umount", house.source / "proc"], check=True)
    assert "in a pseudo filesystem (proc)" in refused.error
    assert sorted(os.listdir(house.restore())) == ["file", "proc"]


@pytest.mark.root
@pytest.mark.parametrize("one", [True, False])
def test_one_file_system_leaves_out_what_is_mounted_inside(tmp_path, one):
    need_mounts()
    house = House(tmp_path, settings={"one_file_system": one})
    (house.source / "disk").mkdir()
    (house.source / "file").write_bytes(b"1")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", house.source / "disk"], check=True)
    try:
        (house.source / "disk/inside").write_bytes(b"2")
        house.backed_up()
    finally:
        subprocess.run(["umount", house.source / "disk"], check=True)
    assert os.listdir(house.restore() / "disk") == ([] if one else ["inside"])
