"""The restrictions of the systemd unit, put on for real: nothing that a run needs is missing."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from packrat.daemon.unit import unit_text
from tests.helpers.daemons import Running, schedule
from tests.helpers.house import House
from tests.helpers.trees import differences, fill, noise

HARDENED = Path(__file__).parents[1] / "helpers" / "hardened.py"
NET_BIND = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""`cap_net_bind_service=ep`, as a file carries it."""


@pytest.fixture
def hardened(tmp_path):
    """The words that put the restrictions on what follows them."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze: apt install systemd")
    unit = tmp_path / "packrat.service"
    unit.write_text(unit_text(str(tmp_path / "packrat.yaml"), root=True))
    return (sys.executable, str(HARDENED), str(unit))


@pytest.mark.root
def test_a_command_a_container_and_a_restore_in_place(tmp_path, engine, hardened):
    """A dump as another user, a container that is stopped, owners and devices that come back."""
    name = engine.run("hardened")
    dump = (
        "su -s /bin/sh nobody -c 'id -un' > who; grep -E 'CapBnd|Seccomp:' /proc/self/status > on"
    )
    house = House(tmp_path / "house")
    fill(house.source, {"a": noise(100_000), "b/program": b"#!"})
    program = house.source / "b" / "program"
    os.chown(program, 1234, 2345)
    program.chmod(0o6751)
    os.setxattr(program, "security.capability", NET_BIND)
    os.mknod(house.source / "null", 0o20666, os.makedev(1, 3))
    docker = {"container": name, "host": engine.host, "stop_timeout": 5}
    schedule(house, docker=docker, pre_backup={"command": dump})
    started = engine.state(name)["StartedAt"]

    with Running(house, wrap=hardened) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"], 60)
        assert daemon.stop() == 0
    assert engine.running(name)
    assert engine.state(name)["StartedAt"] > started
    assert (house.source / "who").read_text() == "nobody\n"
    limits = dict(line.split(":\t") for line in (house.source / "on").read_text().splitlines())
    assert limits["Seccomp"] == "2"
    assert not int(limits["CapBnd"], 16) & 1 << 16, "CAP_SYS_MODULE is gone"

    before = tmp_path / "before"
    subprocess.run(["cp", "-a", house.source, before], check=True)
    shutil.rmtree(house.source / "b")
    (house.source / "null").unlink()
    done = house.cli("restore", "svc", "--in-place", "--yes", wrap=hardened)
    assert done.returncode == 0, done.stderr
    found = differences(before, house.source)
    assert [one for one in found if not one.startswith(".packrat-before-")] == []
    assert engine.running(name)
