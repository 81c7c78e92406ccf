"""In place, and something goes wrong: nothing of packrat's or of the user's is ever lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from packrat.restore.choose import choose
from packrat.restore.undo import undo
from packrat.runs.repair import repair
from packrat.verbs.planning import count_source
from stages.errors import SourceError
from stages.in_place.kept import asides
from stages.in_place.swap import Placement
from stages.journal import Journal
from tests.helpers.forked import ended, restoring_in_place
from tests.helpers.house import House
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise


def in_place(house, *paths):
    program = house.program
    return restore(program, "svc", choose(program, "svc"), paths, None)


def copied(house, name="copy"):
    """A copy of the source, to compare with."""
    copy = house.root / name
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", house.source, copy], check=True)
    return copy


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    fill(house.source, {"a": noise(50_000), "data/x": b"1", "data/y": b"2"})
    house.backed_up()
    fill(house.source, {"data/x": b"since then", "data/new": b"3"})
    return house


@pytest.fixture
def holding(tmp_path):
    """A service whose folder holds its destination, the state and the spool."""
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
    """A restore that died once `data` was set aside, and an application that made a new one."""
    take = Placement._take

    def dying(placement, step):
        take(placement, step)
        if (step.path, step.kind) == ("data", "aside"):
            os._exit(9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Placement, "_take", dying)
        assert ended(restoring_in_place(house, lambda _: None)) == 9
    fill(house.source, {"data/fresh": b"4"})


def test_nothing_goes_on_while_a_restore_is_not_taken_back(house):
    """Backup, restore, undo and --forget end with 4; what was set aside stays until it is back."""
    copy = copied(house)
    died_with_a_fresh_folder(house)
    [aside] = asides(str(house.source))
    for words in (
        ("backup", "svc"),
        ("restore", "svc", "--in-place", "--yes"),
        ("restore", "--undo", "svc"),
        ("restore", "--forget", "svc"),
    ):
        done = house.cli(*words)
        assert done.returncode == 4, (words, done.stderr)
        assert "what was there before is in" in done.stderr
        assert (house.source / aside / "data" / "new").read_bytes() == b"3"
    assert len(house.archives) == 1
    (house.source / "data").rename(house.root / "fresh")
    [said] = repair(str(house.state))
    assert "as it was before" in said
    shutil.rmtree(next(house.source.glob(".packrat-restore-*")))
    os.utime(house.source, ns=(0, copy.stat().st_mtime_ns))
    assert differences(copy, house.source) == []
    assert house.backed_up()


def test_what_was_made_since_is_never_replaced_by_what_comes_back(house):
    """A file, too: a rename would have overwritten it without a word."""
    (house.source / "data").rename(house.root / "elsewhere")
    fill(house.source, {"b": b"old"})
    in_place(house)
    [aside] = asides(str(house.source))
    fill(house.source, {"b": b"fresh"})
    with pytest.raises(SourceError, match="something new stands there"):
        undo(house.program, "svc")
    assert (house.source / "b").read_bytes() == b"fresh"
    assert Path(aside, "b").read_bytes() == b"old"


def test_an_undo_that_died_while_it_cleaned_up_moves_nothing_any_more(house, monkeypatch):
    """All was back, and part of what had been staged was deleted: it is not taken for a step."""
    copy = copied(house)
    in_place(house)
    real = shutil.rmtree

    def dying(folder, **more):
        real(os.path.join(folder, "tree", "data"), **more)
        raise KeyboardInterrupt

    monkeypatch.setattr("stages.in_place.swap.shutil.rmtree", dying)
    with pytest.raises(KeyboardInterrupt):
        undo(house.program, "svc")
    monkeypatch.undo()
    [said] = repair(str(house.state))
    assert "as it was before" in said
    os.utime(house.source, ns=(0, copy.stat().st_mtime_ns))
    assert differences(copy, house.source) == []


def test_a_users_folder_of_a_similar_name_is_data(house):
    """It is backed up, it is restored, and nothing deletes it."""
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
    files, _ = count_source(str(house.source), ())
    assert files == len(mine) + 4, "what is set aside is not counted"
    house.backed_up()
    assert asides(str(house.source)) == []
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
    """Nor is an empty one, of a variable that is not set, taken for everything."""
    for path in ("../x", ""):
        assert house.cli("restore", "svc", "--in-place", "--yes", "--path", path).returncode == 2
    assert (house.source / "data" / "x").read_bytes() == b"since then"


def test_a_path_is_not_followed_out_of_the_service(house):
    """A symlink where the backup has a folder is set aside itself; what it leads to stays."""
    outside = house.root / "outside"
    (house.source / "data").rename(outside)
    (house.source / "data").symlink_to(outside)
    in_place(house, "data/x")
    assert (house.source / "data" / "x").read_bytes() == b"1"
    assert (outside / "x").read_bytes() == b"since then"


def test_one_bad_note_blocks_no_other(house, monkeypatch):
    """No secret, another version, nonsense: each is said, and kept; the rest is put back."""
    monkeypatch.delenv("PACKRAT_NONE", raising=False)
    command = {"command": "true", "environment": {"X": {"env": "PACKRAT_NONE"}}}
    good = {"command": f"touch {house.root}/ran"}
    notes = {
        "good": {"kind": "commands", "params": {"then": good}, "found": {}},
        "secret": {"kind": "commands", "params": {"then": command}, "found": {}},
        "later": {"kind": "of_a_later_version", "params": {}, "found": {}},
        "other": {"kind": "commands", "params": {"unknown": 1}, "found": {}},
        "less": {"kind": "collect"},
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


def test_a_restore_whose_journal_cannot_be_told_is_not_taken_back(house, monkeypatch):
    """The state's disk is full: the files are in place, and stay so."""

    def full(*_):
        raise SourceError("cannot write the journal", "")

    monkeypatch.setattr(Journal, "done", full)
    with pytest.raises(SourceError) as failed:
        in_place(house)
    monkeypatch.undo()
    assert "the files are restored" in failed.value.hint
    fill(house.source, {"data/x": b"the service works"})
    [said] = repair(str(house.state))
    assert "is restored" in said
    assert (house.source / "data" / "x").read_bytes() == b"the service works"
    undo(house.program, "svc")
    assert (house.source / "data" / "x").read_bytes() == b"since then"


def test_names_that_are_not_utf8_can_be_set_aside(house):
    """And come back."""
    name = os.fsencode(house.source) + b"/\xff"
    with open(name, "wb") as file:
        file.write(b"1")
    in_place(house)
    assert not os.path.exists(name)
    undo(house.program, "svc")
    assert os.path.exists(name)


@pytest.mark.parametrize("how", ["ctrl-c", "fails"])
def test_a_post_restore_that_does_not_end_well_says_what_is_true(tmp_path, how):
    """The files are restored, and how to go back."""
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
    assert "the files are restored; packrat restore --undo svc takes that back" in said
    assert ("post_restore was interrupted" in said) == (how == "ctrl-c")
    assert (house.source / "a").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["../outside", "/etc/x", "a/../../b"])
def test_steps_that_lead_out_of_the_service_are_not_packrats(house, path):
    """Whoever can write into the service's folder does not make an undo move other files."""
    in_place(house)
    [aside] = asides(str(house.source))
    steps = Path(aside, ".packrat-steps")
    found = json.loads(steps.read_text())
    found["steps"].append({"path": path, "kind": "aside"})
    steps.write_text(json.dumps(found))
    assert asides(str(house.source)) == []
    with pytest.raises(SourceError, match="nothing to undo"):
        undo(house.program, "svc")
