"""Law 2: what is listed can be restored, and what cannot be restored is not called good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.restore_target.resume import Marker
from stages.source import open_folders
from stages.source.exclude import Excludes
from stages.source.walk import Walk
from tests.helpers.disks import disk
from tests.helpers.house import House
from tests.helpers.trees import differences, fill
from tests.laws.test_hostile import entry, folder, plant

sys.path.append(str(Path(__file__).parents[2]))
import rescue

LEVELS = 1100
LIES = [
    [entry("a"), entry("a")],
    [entry("b"), entry("a")],
    [entry("missing/a")],
    [folder("d"), entry("d/..")],
    [entry("f", size=5)],
    [entry("a", link=[1, 2]), entry("b", link=[1, 2], mode=0)],
    [entry("f", mtime=2**100)],
]


def nest(root, levels):
    """Create nested folders, and a file in the last one."""
    handle = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def depth(root):
    """Return the number of folders above the file that `nest` creates."""
    handle, levels = os.open(root, os.O_RDONLY), 0
    while "leaf" not in os.listdir(handle):
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle, levels = inner, levels + 1
    os.close(handle)
    return levels


def delete(root):
    subprocess.run(["rm", "-rf", root], check=True)  # pytest's own cleanup recurses


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie[-1]["path"]))
@pytest.mark.parametrize("deep", [False, True])
def test_an_index_that_no_restore_accepts_is_damaged_for_every_verification(tmp_path, lie, deep):
    """Verification runs the checks of a restore."""
    house = House(tmp_path)
    plant(house, lie)
    assert [verdict.status for verdict in house.verify(deep=deep)] == ["damaged"]


@pytest.mark.parametrize("total", ["entries", "files"])
def test_an_index_with_other_totals_than_its_manifest_is_damaged(tmp_path, total):
    """A block of it may be missing."""
    house = House(tmp_path)
    plant(house, [folder("d"), entry("d/f")], **{total: 3})
    assert [verdict.status for verdict in house.verify()] == ["damaged"]
    done = house.cli("restore", "svc", "--to", str(tmp_path / "out"), "--yes")
    assert done.returncode == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_a_deep_tree_comes_back_with_few_open_files(house):
    """Deeper than Python recurses and than a process may open files; also by rescue.py."""
    nest(house.source, LEVELS)
    few = ("prlimit", "--nofile=600:600")
    try:
        done = house.cli("backup", "svc", wrap=few)
        assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
        out, rescued = house.root / "out", house.root / "rescued"
        assert house.cli("verify", "--deep").returncode == 0
        assert house.cli("restore", "svc", "--to", str(out), "--yes", wrap=few).returncode == 0
        words = [str(house.archives[0]), str(rescued), "--key-file", str(house.key_file)]
        assert rescue.main(words) == 0
        assert depth(out) == depth(rescued) == LEVELS
    finally:
        for root in (house.source, out, rescued):
            delete(root)


def test_a_folder_that_is_moved_under_a_deep_walk_leads_nowhere_else(tmp_path, monkeypatch):
    """The way up is checked: what is beside the folder's new location is not read."""
    monkeypatch.setattr(open_folders, "OPEN_AT_ONCE", 2)
    fill(
        tmp_path, {"root/a/b/c/d/e/f": b"x", "root/z": b"x", "root/a/y": b"", "other/secret": b"s"}
    )
    root = os.open(tmp_path / "root", os.O_RDONLY)
    found, missed = [], []
    for one in Walk(root, Excludes([]), set(), lambda path, _: missed.append(path)):
        found.append(one.path)
        if one.path == "a/b/c/d/e/f":
            os.rename(tmp_path / "root/a/b/c", tmp_path / "other/c")
    os.close(root)
    assert found == ["", "a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/f", "a/y", "z"]
    assert set(missed) <= {"a/b", "a/b/c", "a/b/c/d"}


def test_late_and_early_times_come_back_also_by_rescue(house):
    """Years beyond nanoseconds in 64 bits: some filesystems and cameras produce them."""
    for name, year in (("late", 2300), ("early", 1902)):
        (house.source / name).write_text(name)
        when = (year - 1970) * 31_556_952 * 10**9 + 123
        os.utime(house.source / name, ns=(when, when))
    house.backed_up()
    rescued = house.root / "rescued"
    words = [str(house.archives[0]), str(rescued), "--key-file", str(house.key_file)]
    assert rescue.main(words) == 0
    assert differences(house.source, house.restore()) == []
    assert differences(house.source, rescued) == []


@pytest.mark.root
def test_a_full_temporary_folder_stops_no_restore(house, tmp_path):
    """The layout of a restore is kept in the state folder."""
    fill(house.source, {f"{n // 100}/file with a name {n}": b"%d" % n for n in range(300)})
    house.backed_up()
    with disk(tmp_path / "tiny", "size=64k") as tiny:
        (tiny / "full").write_bytes(bytes(60_000))
        words = ("restore", "svc", "--to", str(house.root / "out"), "--yes")
        done = house.cli(*words, wrap=("env", f"TMPDIR={tiny}"))
    assert done.returncode == 0, done.stderr
    assert differences(house.source, house.root / "out") == []


@pytest.mark.root
@pytest.mark.thorough
def test_restore_without_room_for_temporary_data_names_the_full_folder(house, monkeypatch):
    """The state folder is full: the system's folder serves, unless it is full as well."""
    fill(house.source, {f"{n // 100}/file with a name {n}": b"%d" % n for n in range(12_000)})
    house.backed_up()
    house.forget()
    house.state.rename(house.root / "elsewhere")
    with disk(house.state, "size=256k,mode=700") as state:
        (state / "full").write_bytes(bytes(100_000))
        served = house.cli("restore", "svc", "--to", str(house.root / "served"), "--yes")
        monkeypatch.setenv("TMPDIR", str(state))
        done = house.cli("restore", "svc", "--to", str(house.root / "out"), "--yes")
    assert served.returncode == 0, served.stderr
    assert done.returncode == 4
    assert f"cannot keep temporary data in {house.state}: " in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize("plant_at", ["fifo", "link", "deep"])
def test_a_marker_that_somebody_else_made_is_not_believed(tmp_path, plant_at):
    """A fifo would block the restore for ever, and nested JSON end it in a recursion."""
    marker = Marker("svc", "ab" * 16, ())
    at = tmp_path / marker.name
    (tmp_path / "other").write_text("x")
    if plant_at == "fifo":
        os.mkfifo(at)
    elif plant_at == "link":
        at.symlink_to("other")
    else:
        at.write_text("[" * 100_000)
    script = (
        "import sys; from stages.errors import TargetError\n"
        "from stages.restore_target.resume import Marker\n"
        "from stages.restore_target.target import Target\n"
        f"try: Target({str(tmp_path)!r}, Marker('svc', {'ab' * 16!r}, ())).look()\n"
        "except TargetError: sys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=30, check=False)
    assert done.returncode == 3


def test_a_service_path_that_is_a_symlink_is_backed_up(tmp_path):
    """The folder that it points to is backed up."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    house = House(tmp_path / "house", settings={"path": str(tmp_path / "link")})
    fill(tmp_path / "real", {"a": b"x"})
    house.backed_up()
    assert differences(tmp_path / "real", house.restore()) == []


def test_a_service_path_that_is_a_symlink_is_restored_in_place(tmp_path):
    """The path is resolved once; backups go on afterwards."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    house = House(tmp_path / "house", settings={"path": str(tmp_path / "link")})
    fill(tmp_path / "real", {"a": b"good"})
    house.backed_up()
    fill(tmp_path / "real", {"a": b"spoilt"})
    for words, content in (
        (["svc", "--in-place", "--yes"], b"good"),
        (["--undo", "svc"], b"spoilt"),
    ):
        done = house.cli("restore", *words)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "real" / "a").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    house.backed_up()
