"""Runs under the systemd unit on a booted machine: the unit restricts nothing that they need."""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from packrat.daemon.unit import unit_text
from tests.helpers.booted import booted
from tests.helpers.daemons import schedule, settle
from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.trees import differences, fill, noise

pytestmark = [pytest.mark.root, pytest.mark.thorough]
PROGRAM = Path(sys.executable).with_name("packrat")
NET_BIND = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""`cap_net_bind_service=ep`, as a file carries it."""
LIMITS = """
su -s /bin/sh nobody -c 'id -un' > who
sudo -u nobody id -un >> who
cat /proc/self/status > status
umask > umask
(echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null && touch tunable || true
(hostname changed) 2>/dev/null && touch renamed || true
mkdir -p mounted && mount -t tmpfs none mounted && touch mounted/inside && umount mounted
rmdir mounted
"""


@pytest.fixture
def place():
    """A folder that a booted machine does not hide behind its own /tmp."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="packrat-booted-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def until(machine, true):
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, machine.journal()
        time.sleep(0.2)


def test_backups_commands_containers_and_restores_in_place_work_under_the_unit(place, engine):
    """The daemon stops a container and runs commands; a restore sets owners and devices."""
    name = engine.run("hardened")
    house = House(place / "house")
    fill(house.source, {"a": noise(100_000), "b/program": b"#!"})
    program = house.source / "b" / "program"
    os.chown(program, 1234, 2345)
    program.chmod(0o6751)
    os.setxattr(program, "security.capability", NET_BIND)
    os.mknod(house.source / "null", 0o20666, os.makedev(1, 3))
    schedule(
        house,
        docker={"container": name, "host": engine.host, "stop_timeout": 5},
        pre_backup={"command": LIMITS, "working_dir": str(place)},
        post_backup={"command": f"id -un > {place}/after", "user": "nobody"},
    )
    settle(house, state_dir="/var/lib/packrat")
    (place / "after").touch()
    shutil.chown(place / "after", "nobody")
    started = engine.state(name)["StartedAt"]

    with booted(engine, place) as machine:
        # The schedule's mark is in the house's state folder; the unit has StateDirectory.
        machine.run(str(PROGRAM), "-c", str(house.config_file), "service", "install")
        machine.run("cp", "-a", f"{house.state}/.", "/var/lib/packrat")
        machine.run("systemctl", "enable", "--now", "packrat")
        until(machine, (place / "after").read_text)
        _check_the_run(place, machine, house, engine, name, started)
        _check_a_restore(place, machine, house, engine, name)


def _check_the_run(place, machine, house, engine, name, started):
    until(machine, lambda: engine.running(name) and engine.state(name)["StartedAt"] > started)
    until(machine, lambda: len(house.archives) == 1)
    assert (place / "after").read_text() == "nobody\n"
    assert (place / "who").read_text() == "nobody\nnobody\n", "su and sudo from root work"
    assert (place / "umask").read_text() == "0022\n"
    lines = (place / "status").read_text().splitlines()
    limits = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert (limits["Seccomp"], limits["NoNewPrivs"]) == ("2", "1")
    for number in (16, 19, 25):
        assert not int(limits["CapBnd"], 16) & 1 << number, "SYS_MODULE, SYS_PTRACE, SYS_TIME"
    assert not (place / "tunable").exists()
    assert not (place / "renamed").exists()
    assert machine.run("stat", "-c", "%a", "/var/lib/packrat") == "700"
    machine.run("systemctl", "stop", "packrat")
    assert machine.run("systemctl", "show", "-P", "Result", "packrat") == "success"


def _check_a_restore(place, machine, house, engine, name):
    before = place / "before"
    subprocess.run(["cp", "-a", house.source, before], check=True)
    shutil.rmtree(house.source / "b")
    (house.source / "null").unlink()
    words = f"{PROGRAM} -c {house.config_file} restore svc --in-place --yes"
    text = unit_text(str(house.config_file), root=True)
    text = re.sub(r"(?m)^ExecStart=.*$", f"ExecStart={words}", text)
    text = text.replace("Type=notify", "Type=oneshot").replace("Restart=on-failure\n", "")
    (place / "restore.service").write_text(text)
    machine.run("cp", str(place / "restore.service"), "/etc/systemd/system/restore.service")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "restore")
    found = differences(before, house.source)
    assert [one for one in found if not one.startswith(".packrat-restore-")] == []
    assert engine.running(name)


def test_systemd_rates_the_unit_below_5(tmp_path):
    """The rest is needed by restores and commands; packrat/daemon/unit.py explains it."""
    analyze = need("systemd-analyze", "apt install systemd")
    unit = tmp_path / "packrat.service"
    unit.write_text(unit_text("/etc/packrat/config.yaml", root=True))
    words = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rated = re.search(r"exposure level for packrat\.service: ([0-9.]+)", said)
    assert rated
    assert float(rated[1]) < 5.0
