"""Failures in place: nothing of packrat's or of the user's is ever lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from packrat.restore.choose import choose
from packrat.restore.undo import forget_replaced, undo
from packrat.runs.repair import repair
from stages import linux
from stages.errors import SourceError
from stages.in_place.record import FOLDER
from stages.journal import Journal
from stages.reads import Reads
from stages.root_walk import count_source
from tests.helpers.disks_in_place import mounted
from tests.helpers.forked import ended, forked, restoring_in_place
from tests.helpers.house import House
from tests.helpers.in_place import set_aside
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise


def in_place(house, *paths):
    program = house.program
    return restore(program, "svc", choose(program, "svc"), paths, None)


def copied(house, name="copy"):
    """Return a copy of the source, to compare with."""
    copy = house.root / name
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", house.source, copy], check=True)
    return copy


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, settings={"keep_replaced": "0"})
    fill(house.source, {"a": noise(50_000), "data/x": b"1", "data/y": b"2"})
    house.backed_up()
    fill(house.source, {"data/x": b"since then", "data/new": b"3"})
    return house


@pytest.fixture
def holding(tmp_path):
    """Service whose folder contains its destination, the state and the spool."""
    source = tmp_path / "source"
    house = House(
        tmp_path,
        state_dir=str(source / "deep" / "state"),
        backup={
            "retain_backups": 9,
            "destinations": {"local": {"type": "local", "path": str(source / "backups")}},
        },
    )
    house.state, house.stores = source / "deep" / "state", {"local": source / "backups"}
    fill(source, {"a": noise(50_000), "deep/b": b"1"})
    return house


def test_packrats_own_folders_are_never_moved(holding):
    """Backups, journal, lock and history stay where they are, twice, and through an undo."""
    house = holding
    first = house.backed_up()
    inodes = [f.stat().st_ino for f in (house.state, house.stores["local"], first)]
    for _ in range(2):
        fill(house.source, {"a": b"spoilt", "deep/b": b"spoilt", "deep/new": b"2"})
        in_place(house)
        assert (house.source / "a").read_bytes() == noise(50_000)
        assert (house.source / "deep" / "b").read_bytes() == b"1"
        assert not (house.source / "deep" / "new").exists()
        assert [f.stat().st_ino for f in (house.state, house.stores["local"], first)] == inodes
        undo(house.program, "svc")
        assert (house.source / "a").read_bytes() == b"spoilt"
        assert (house.source / "deep" / "new").read_bytes() == b"2"
    in_place(house)
    assert house.backed_up()
    assert first in house.archives
    assert len(house.json("list", "svc")) == 2
    explained = house.cli("explain", "svc", "deep/state/history.sqlite").stdout
    assert explained.startswith("out:")
    assert "packrat's own" in explained


def died_with_a_fresh_folder(house):
    """Kill the restore once `data` was exchanged; then let an application create a file in it."""
    real = linux.exchange

    def dying(*places):
        real(*places)
        if places[1] == "data":
            os._exit(9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "exchange", dying)
        assert ended(restoring_in_place(house, lambda _: None)) == 9
    fill(house.source, {"data/fresh": b"4"})


def test_files_written_since_are_kept_when_a_restore_is_taken_back(house):
    """The old state comes back whole; the new file is beside it, until it is forgotten."""
    copy = copied(house)
    died_with_a_fresh_folder(house)
    [said] = repair(str(house.state))
    assert "as it was before" in said
    assert not (house.source / "data" / "fresh").exists()
    [kept] = set_aside(str(house.state), str(house.source))
    assert Path(kept, "tree", "data", "fresh").read_bytes() == b"4"
    assert house.cli("restore", "--forget", "svc").returncode == 0
    os.utime(house.source, ns=(0, copy.stat().st_mtime_ns))
    assert differences(copy, house.source) == []
    assert house.backed_up()


def test_the_service_is_blocked_while_a_restore_cannot_be_taken_back(house):
    """Backup, restore, undo and --forget end with 4; the only copy of the data stays."""
    copy = copied(house)
    died_with_a_fresh_folder(house)
    house.source.rename(house.root / "moved")
    house.source.mkdir()
    for words in (
        ("backup", "svc"),
        ("restore", "svc", "--in-place", "--yes"),
        ("restore", "--undo", "svc"),
        ("restore", "--forget", "svc"),
    ):
        done = house.cli(*words)
        assert done.returncode == 4, (words, done.stderr)
        assert "is not the folder in which the restore was made" in done.stderr
    assert len(house.archives) == 1
    house.source.rmdir()
    (house.root / "moved").rename(house.source)
    [said] = repair(str(house.state))
    assert "as it was before" in said
    assert (house.source / "data" / "new").read_bytes() == (copy / "data" / "new").read_bytes()


def test_files_written_since_are_kept_by_an_undo(house):
    """Also a file that is replaced by the old one."""
    fill(house.source, {"b": b"old"})
    in_place(house)
    fill(house.source, {"b": b"fresh", "data/x": b"a day's work"})
    undo(house.program, "svc")
    assert (house.source / "b").read_bytes() == b"old"
    [kept] = set_aside(str(house.state), str(house.source))
    assert Path(kept, "tree", "b").read_bytes() == b"fresh"
    assert Path(kept, "tree", "data", "x").read_bytes() == b"a day's work"


def test_an_undo_that_the_repair_has_finished_is_not_repeated_on_an_older_restore(house):
    """Otherwise what was created between the two restores would be lost."""
    in_place(house)
    fill(house.source, {"data/work": b"a day's work, in no backup"})
    in_place(house)
    real = linux.exchange

    def dying(*places):
        real(*places)
        os._exit(9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "exchange", dying)
        assert ended(forked(lambda: undo(house.program, "svc"))) == 9
    done = house.cli("restore", "--undo", "svc")
    assert done.returncode == 0, done.stderr
    assert "the interrupted undo was finished" in done.stdout
    assert (house.source / "data" / "work").read_bytes() == b"a day's work, in no backup"
    done = house.cli("restore", "--undo", "svc")
    assert done.returncode == 0, done.stderr
    assert (house.source / "data" / "x").read_bytes() == b"since then"


@pytest.mark.parametrize("how", ["forget", "backup"])
def test_a_half_deleted_folder_can_be_neither_undone_nor_backed_up(house, monkeypatch, how):
    """Killed while it deletes; the restored state stays."""
    in_place(house)
    restored = (house.source / "data" / "x").read_bytes()
    words = {"forget": ("restore", "--forget", "svc"), "backup": ("backup", "svc")}[how]

    def dying():
        real = os.unlink

        def unlink(name, **more):
            if isinstance(name, str) and name == "x":
                os._exit(9)
            real(name, **more)

        os.unlink = unlink
        return house.back_up().exit if how == "backup" else forget_replaced(house.program, "svc")

    assert ended(forked(dying)) == 9
    undone = house.cli("restore", "--undo", "svc")
    assert undone.returncode == 4
    assert "nothing to undo" in undone.stderr
    assert (house.source / "data" / "x").read_bytes() == restored
    assert not list(house.source.glob(".packrat*")), "the next command has deleted the rest"
    assert house.cli(*words).returncode == 0


def test_what_one_service_has_replaced_outlives_backups_of_another_of_the_same_folder(house):
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["weekly"] = {"path": str(house.source), "exclude": ["*.log"]}
    house.config_file.write_text(yaml.safe_dump(document))
    in_place(house)
    assert house.cli("backup", "weekly").returncode == 0
    assert ".packrat" not in house.cli("ls", "weekly").stdout
    undo(house.program, "svc")
    assert (house.source / "data" / "new").read_bytes() == b"3"


def test_a_users_folder_of_a_similar_name_is_data(house):
    """It is backed up and restored, and nothing deletes it."""
    mine = {
        ".packrat-before-migration/a": b"1",
        ".packrat-before-20260101T000000Z/a": b"2",
        ".packrat-restore-1a2b3c4d/a": b"3",
        ".packrat-restore-notes/a": b"4",
    }
    fill(house.source, mine)
    house.backed_up()
    listed = {row["path"] for row in house.json("ls", "svc")}
    assert listed >= {os.path.dirname(name) for name in mine}
    fill(house.source, dict.fromkeys(mine, b"spoilt"))
    in_place(house)
    assert {name: (house.source / name).read_bytes() for name in mine} == mine
    files, _ = count_source(str(house.state), Reads(path=str(house.source)).resolve())
    assert files == len(mine) + 4, "what is set aside is not counted"
    house.backed_up()
    assert set_aside(str(house.state), str(house.source)) == []
    assert {name: (house.source / name).read_bytes() for name in mine} == mine


@pytest.mark.parametrize("path", ["/", ".", "./data/x", "ABSOLUTE"])
def test_paths_are_understood_as_people_write_them(house, path):
    """The top of the service is everything; a path inside it may be absolute."""
    path = str(house.source / "data" / "x") if path == "ABSOLUTE" else path
    done = house.cli("restore", "svc", "--in-place", "--yes", "--path", path)
    assert done.returncode == 0, done.stderr
    assert (house.source / "data" / "x").read_bytes() == b"1"
    assert (house.source / "data" / "new").exists() == (path not in ("/", "."))
    assert house.cli("list").stderr == ""


def test_a_path_outside_is_refused(house):
    """Nor does an empty path, from an unset variable, select everything."""
    for path in ("../x", ""):
        assert house.cli("restore", "svc", "--in-place", "--yes", "--path", path).returncode == 2
    assert (house.source / "data" / "x").read_bytes() == b"since then"


def test_a_path_is_not_followed_out_of_the_service(house):
    """A symlink in place of a folder in the backup is itself replaced; its target stays."""
    outside = house.root / "outside"
    (house.source / "data").rename(outside)
    (house.source / "data").symlink_to(outside)
    in_place(house, "data/x")
    assert (house.source / "data" / "x").read_bytes() == b"1"
    assert (outside / "x").read_bytes() == b"since then"


def test_one_bad_note_blocks_no_other(house, monkeypatch):
    """No secret, another version, nonsense: each is reported and kept; the rest is put back."""
    monkeypatch.delenv("PACKRAT_NONE", raising=False)
    command = {"command": "true", "environment": {"X": {"env": "PACKRAT_NONE"}}}
    good = {"command": f"touch {house.root}/ran"}
    notes = {
        "good": {"kind": "commands", "params": {"then": good}, "found": {}},
        "secret": {"kind": "commands", "params": {"then": command}, "found": {}},
        "later": {"kind": "of_a_later_version", "params": {}, "found": {}},
        "other": {"kind": "commands", "params": {"unknown": 1}, "found": {}},
        "less": {"kind": "commands"},
    }
    journal = house.state / "journal"
    journal.mkdir()
    (journal / "svc.json").write_text(json.dumps(notes))
    (journal / "torn.json").write_text("{")
    said = repair(str(house.state))
    assert len(said) == len(notes) + 1
    assert (house.root / "ran").exists()
    assert set(Journal(str(house.state), "svc").recall()) == set(notes) - {"good"}
    assert (journal / "torn.json").read_text() == "{"
    assert house.cli("list").returncode == 0
    assert house.cli("backup", "svc").returncode == 4


def test_a_state_disk_that_is_full_leaves_everything_as_it_was(house, monkeypatch):
    """Without its record nothing is moved, and there is nothing to undo."""
    copy = copied(house)
    real = os.open

    def full(path, *more, **options):
        if FOLDER in str(path) and str(path).endswith(".new"):
            raise OSError(28, "No space left on device", path)
        return real(path, *more, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(SourceError, match="No space left on device"):
        in_place(house)
    monkeypatch.undo()
    assert differences(copy, house.source) == []
    assert repair(str(house.state)) == []
    with pytest.raises(SourceError, match="nothing to undo"):
        undo(house.program, "svc")


def test_names_that_are_not_utf8_can_be_set_aside(house):
    """They also come back."""
    name = os.fsencode(house.source) + b"/\xff"
    with open(name, "wb") as file:
        file.write(b"1")
    in_place(house)
    assert not os.path.exists(name)
    undo(house.program, "svc")
    assert os.path.exists(name)


@pytest.mark.parametrize("how", ["ctrl-c", "fails"])
def test_a_failed_post_restore_reports_the_state(tmp_path, how):
    """The files are restored, and the message says how to go back."""
    begun = tmp_path / "begun"
    last = "sleep 30" if how == "ctrl-c" else "exit 3"
    command = {"command": f"touch {begun}; {last}"}
    house = House(tmp_path, settings={"post_restore": command})
    fill(house.source, {"a": b"1"})
    house.backed_up()
    fill(house.source, {"a": b"2"})
    words = ["-c", str(house.config_file), "restore", "svc", "--in-place", "--yes"]
    command = [sys.executable, "-m", "packrat", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not begun.exists():
            time.sleep(0.05)
        if how == "ctrl-c":
            child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=30)[1]
    assert child.returncode == (130 if how == "ctrl-c" else 4)
    assert "the files are restored; packrat restore --undo svc undoes that" in said
    assert ("post_restore was interrupted" in said) == (how == "ctrl-c")
    assert (house.source / "a").read_bytes() == b"1"


@pytest.mark.root
def test_plan_and_result_name_what_is_mounted_inside_and_not_restored(house):
    """The disk keeps its files; the command to restore them to a folder is named; exit 5."""
    with mounted(house.root / "image", house.source / "disk") as disk:
        fill(disk, {"on-disk": b"1"})
        house.backed_up()
        fill(disk, {"on-disk": b"2"})
        plan = house.cli("plan", "--restore", "svc")
        assert "not restored, since another filesystem is mounted there: disk" in plan.stdout
        done = house.cli("restore", "svc", "--in-place", "--yes")
        assert done.returncode == 5, done.stderr
        assert "'disk' was not restored: another filesystem is mounted there" in done.stderr
        assert "--path disk --to DIR" in done.stderr
        assert (disk / "on-disk").read_bytes() == b"2"
