"""In-place restore: the old state or the new one, never a mixture; and a way back."""

import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from itertools import count

import pytest

from packrat.restore.choose import choose
from packrat.restore.undo import undo
from packrat.runs.repair import repair
from stages import linux
from stages.in_place.record import read_records
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.in_place import set_aside
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, settings={"exclude": ["/cache/", "*.tmp", "/b/keep"]})
    fill(house.source, {"a": noise(50_000), "b/c": noise(9_000, 2), "b/d/e": b"1", "f/g": b"2"})
    house.backed_up()
    return house


def spoil(house):
    """Change, add and remove files, including ones that no backup has, which must stay."""
    (house.source / "a").write_bytes(b"spoilt")
    (house.source / "b" / "c").unlink()
    fill(house.source, {"new/x": b"x", "b/new": b"y", "cache/1": b"1", "b/keep/2": b"2"})
    fill(house.source, {"f/h.tmp": b"3", "gone/only.tmp": b"4", "gone/other": b"5"})


def in_place(house, *paths):
    program = house.program
    return restore(program, "svc", choose(program, "svc"), paths, None)


def tree(folder):
    """Return everything in it, with its content, except folders of restores."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not str(path.relative_to(folder)).startswith(".packrat-")
    }


WAS = {"a", "b", "b/c", "b/d", "b/d/e", "f", "f/g"}
KEPT = {"cache", "cache/1", "b/keep", "b/keep/2", "f/h.tmp", "gone", "gone/only.tmp"}


def test_backed_up_files_are_restored_and_excluded_ones_stay(house):
    """Everything that the backup has, everything that no backup has, and nothing else."""
    before = tree(house.source)
    folders = [house.source, house.source / "b"]
    states = [(folder.stat().st_mode, folder.stat().st_mtime_ns) for folder in folders]
    spoil(house)
    (house.source / "b").chmod(0o700)
    restored = in_place(house)
    after = tree(house.source)
    assert set(after) == WAS | KEPT
    assert {name: after[name] for name in WAS} == {name: before[name] for name in WAS}
    assert restored.target == str(house.source)
    assert restored.warnings == []
    assert [(folder.stat().st_mode, folder.stat().st_mtime_ns) for folder in folders] == states


def test_sockets_stay_for_servers_that_keep_running(house):
    """No backup has a socket; one where the backup has a file gives way to the file."""
    with ExitStack() as listening:
        for name in ("b/server.sock", "gone/only.sock", "b/c"):
            path = house.source / name
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            listening.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        in_place(house)
        assert (house.source / "b" / "server.sock").is_socket()
        assert (house.source / "gone" / "only.sock").is_socket()
        assert (house.source / "b" / "c").is_file()
        undo(house.program, "svc")
        assert (house.source / "b" / "server.sock").is_socket()
        assert (house.source / "b" / "c").is_socket()


def test_files_excluded_since_the_backup_stay(house):
    """Although the backup has it: the restore reports it and does not touch it."""
    text = house.config_file.read_text()
    house.config_file.write_text(text.replace("'*.tmp'", "'*.tmp'\n    - /f/g\n    - /b/d/"))
    spoil(house)
    (house.source / "f" / "g").write_bytes(b"by now")
    restored = in_place(house)
    assert tree(house.source)["f/g"] == b"by now"
    assert len(restored.warnings) == 2
    assert "left 'f/g' untouched" in restored.warnings[1]


def test_a_folder_that_has_gone_is_made_again(house):
    """On a new machine, or after a total loss."""
    before = tree(house.source)
    subprocess.run(["rm", "-r", house.source], check=True)
    in_place(house)
    assert tree(house.source) == before


def test_undo_puts_back_what_was_there(house):
    """To the last file and time; the state until then is kept, until it is forgotten."""
    spoil(house)
    copy = house.root / "copy"
    subprocess.run(["cp", "-a", house.source, copy], check=True)
    in_place(house)
    undo(house.program, "svc")
    assert tree(house.source) == tree(copy)
    assert house.source.stat().st_mtime_ns == copy.stat().st_mtime_ns
    assert house.cli("restore", "--forget", "svc").returncode == 0
    os.utime(house.source, ns=(0, copy.stat().st_mtime_ns))
    assert differences(copy, house.source) == []
    assert not list(house.source.glob(".packrat-*"))
    assert read_records(str(house.state), "svc") == []


def test_restores_in_a_row_are_undone_in_turn(house):
    """Also within one second: each replaced state has its own folder."""
    states = []
    for number in range(4):
        fill(house.source, {"a": b"%d" % number})
        states.append(tree(house.source))
        in_place(house)
    assert len(set_aside(str(house.state), str(house.source))) == 4
    for state in reversed(states):
        undo(house.program, "svc")
        assert tree(house.source) == state


def test_some_paths_alone(house):
    """Only the requested paths are replaced; a missing folder above one is restored with it."""
    spoil(house)
    subprocess.run(["rm", "-r", house.source / "f"], check=True)
    in_place(house, "b/c", "f/g")
    after = tree(house.source)
    assert after["a"] == b"spoilt"
    assert after["b/c"] == noise(9_000, 2)
    assert after["f/g"] == b"2"
    assert "b/new" in after
    undo(house.program, "svc")
    assert "b/c" not in tree(house.source)
    assert "f" not in tree(house.source)


def test_replaced_folders_are_never_backed_up_and_deleted_by_forget(house):
    """--forget leaves nothing of it; test_in_place_kept.py has what backups delete."""
    spoil(house)
    in_place(house)
    assert house.backed_up()
    assert list(house.source.glob(".packrat-restore-*"))
    listed = [row["path"] for row in house.json("ls", "svc")]
    assert not [path for path in listed if path.startswith(".packrat")]
    assert house.cli("restore", "--forget", "svc").returncode == 0
    assert not list(house.source.glob(".packrat-restore-*"))
    undone = house.cli("restore", "--undo", "svc")
    assert undone.returncode == 4
    assert "nothing to undo" in undone.stderr


def ends_before_an_exchange(house, call):
    """Restore in place in a child that is killed before its n-th exchange; return its end."""
    calls = count(1)
    real = {name: getattr(linux, name) for name in ("exchange", "rename_noreplace")}

    def counted(name):
        def move(*places):
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            real[name](*places)

        return move

    def work():
        for name in real:
            setattr(linux, name, counted(name))
        in_place(house)
        return 0

    return ended(forked(work))


@pytest.mark.parametrize("call", range(1, 11))
def test_killed_between_two_exchanges_the_next_command_puts_the_old_state_back(house, call):
    """SIGKILL before each: afterwards everything is as it was, and the restore can be repeated."""
    spoil(house)
    copy = house.root / "copy"
    subprocess.run(["cp", "-a", house.source, copy], check=True)
    status = ends_before_an_exchange(house, call)
    assert status in (-9, 0)
    if status == -9:
        said = repair(str(house.state))
        assert len(said) == (call > 1)  # the first exchange is the trial in the staging folder
        assert all("as it was before" in sentence for sentence in said)
        assert tree(house.source) == tree(copy)
        in_place(house)
    assert set(tree(house.source)) == WAS | KEPT


def test_missing_room_is_reported_before_anything_is_written(house, monkeypatch):
    """A disk without room for both states is refused, and nothing changes."""
    from stages.restore_target import writer as write

    before = tree(house.source)
    real = os.statvfs(house.source)
    fields = list(real)
    fields[4] = 0  # f_bavail
    monkeypatch.setattr(write.os, "statvfs", lambda _: os.statvfs_result(fields))
    with pytest.raises(write.TargetError, match="has no room"):
        in_place(house)
    assert tree(house.source) == before
