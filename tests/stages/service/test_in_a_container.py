"""Packrat itself in a container, with the service's folder as a bind mount."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.in_place.record import read_records
from tests.helpers.containers import HOST_FOLDERS, IMAGE
from tests.helpers.house import House
from tests.helpers.trees import fill

pytestmark = pytest.mark.root
REPOSITORY = Path(__file__).parents[3]
DENY = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["name_to_handle_at"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
}
"""Seccomp profile of an older engine: EPERM for the call that identifies a file."""
DYING = """
import os, sys
from packrat.__main__ import main
from stages import linux
real, calls = linux.exchange, []
def dying(*places):
    real(*places)
    calls.append(places)
    if len(calls) == int(os.environ["DIES_AT"]):
        os._exit(9)
linux.exchange = dying
main()
"""
OLD = {"a": b"spoilt", "data/x": b"since then", "data/new": b"in no backup"}


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    fill(house.source, {"a": b"good", "data/x": b"1", "data/y": b"2"})
    return house


@pytest.fixture(params=["handles", "no handles"])
def container(request, engine, house):
    """Command line that runs a program of this machine in a container, up to the program."""
    read_only = [*HOST_FOLDERS, sys.base_prefix, sys.prefix, str(REPOSITORY)]
    read_only = [at for at in dict.fromkeys(read_only) if Path(at).is_dir()]
    profile = "unconfined"
    if request.param == "no handles":
        profile = str(house.root / "ignored-seccomp.json")
        Path(profile).write_text(json.dumps(DENY))
    mounts = [f"{at}:{at}:ro" for at in read_only] + [
        f"{at}:{at}" for at in (house.root, house.source)
    ]
    return (
        "docker", "-H", engine.host, "run", "--rm", "--network", "none",
        "--security-opt", f"seccomp={profile}", "-e", "PYTHONDONTWRITEBYTECODE=1",
        *(word for mount in mounts for word in ("-v", mount)), IMAGE,
    )  # fmt: skip


def succeeds(done):
    assert done.returncode == 0, done.stderr
    return done


def files(house):
    return {
        str(path.relative_to(house.source)): path.read_bytes()
        for path in house.source.rglob("*")
        if path.is_file() and ".packrat" not in str(path.relative_to(house.source))
    }


def kind(house):
    [record] = read_records(str(house.state), "svc")
    return record.root.kind


@pytest.mark.thorough
def test_a_restore_in_place_its_undo_and_its_forget_work_in_a_container(house, container):
    """The folder is a mount point; without handles inode, birth time and type identify a file."""
    succeeds(house.cli("backup", "svc", wrap=container))
    fill(house.source, OLD)
    before = files(house)
    inode = house.source.stat().st_ino
    succeeds(house.cli("restore", "svc", "--in-place", "--yes", wrap=container))
    assert files(house) == {"a": b"good", "data/x": b"1", "data/y": b"2"}
    assert kind(house) == ("handle" if "seccomp=unconfined" in container else "birth")
    fill(house.source, {"data/since": b"3"})
    succeeds(house.cli("restore", "--undo", "svc", wrap=container))
    assert files(house) == before
    assert house.source.stat().st_ino == inode
    succeeds(house.cli("restore", "--forget", "svc", wrap=container))
    assert not list(house.source.glob(".packrat*"))


def test_what_a_container_has_replaced_is_put_back_by_the_machine(house, container):
    """The record says which kind of identity it holds, and the undo compares that kind."""
    succeeds(house.cli("backup", "svc"))
    fill(house.source, OLD)
    before = files(house)
    succeeds(house.cli("restore", "svc", "--in-place", "--yes", wrap=container))
    succeeds(house.cli("restore", "--undo", "svc"))
    assert files(house) == before


def test_handles_that_a_container_cannot_read_are_reported_and_nothing_moves(house, container):
    succeeds(house.cli("backup", "svc"))
    fill(house.source, OLD)
    succeeds(house.cli("restore", "svc", "--in-place", "--yes"))
    restored = files(house)
    done = house.cli("restore", "--undo", "svc", wrap=container)
    if "seccomp=unconfined" in container:
        succeeds(done)
        return
    assert done.returncode == 4
    assert "run the command where the restore ran" in done.stderr
    assert files(house) == restored
    succeeds(house.cli("restore", "--undo", "svc"))


def dies_at(number, house, container):
    """Restore in place in a container that dies at the n-th exchange; return the exit status."""
    script = house.root / "ignored-dying.py"
    script.write_text(DYING)
    words = ("-c", str(house.config_file), "restore", "svc", "--in-place", "--yes")
    run = [*container[:-1], "-e", f"DIES_AT={number}", container[-1]]
    return subprocess.run([*run, sys.executable, script, *words], check=False).returncode


def test_a_restore_that_dies_with_its_container_is_taken_back_by_the_next_one(house, container):
    succeeds(house.cli("backup", "svc"))
    fill(house.source, OLD)
    before = files(house)
    assert dies_at(3, house, container) == 9
    assert files(house) != before
    succeeds(house.cli("list", wrap=container))
    assert files(house) == before


@pytest.mark.thorough
def test_at_every_exchange_the_next_command_leaves_the_old_state_or_the_new_one(house, container):
    succeeds(house.cli("backup", "svc"))
    restored = files(house)
    fill(house.source, OLD)
    before = files(house)
    for number in range(1, 50):
        status = dies_at(number, house, container)
        succeeds(house.cli("list", wrap=container))
        assert files(house) in (before, restored)
        if files(house) == restored:
            break
    assert status == 0
    assert number > 3
