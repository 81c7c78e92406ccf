"""A machine booted with systemd: Debian in a container, whose PID 1 is /sbin/init."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.containers import Engine
from tests.helpers.needs import need

ROOT = Path(__file__).parents[2]
IMAGE = "booted"
PACKAGES = (
    "systemd,systemd-sysv,libpam-systemd,dbus,dbus-user-session"
    ",python3,openssl,ca-certificates,sudo"
)
"""python3 depends on everything that Debian's Python and ours load."""
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ"
)
"""Capabilities in the kernel's order. --privileged fails if this machine lacks one of them."""


def suite() -> str:
    """Return the name of this Debian, whose libraries our Python loads."""
    lines = Path("/etc/os-release").read_text().splitlines()
    found = dict(line.partition("=")[::2] for line in lines)
    return found.get("VERSION_CODENAME", "bookworm").strip('"')


def root_archive() -> Path:
    """Return a tar of a small Debian with systemd, which is made once for each release."""
    debootstrap = need("debootstrap", "apt install debootstrap, as root")
    archive = Path(f"/var/tmp/packrat-test-{suite()}-2.tar")
    if archive.exists() and archive.stat().st_uid == 0:
        return archive
    folder = Path(f"{archive}.{os.getpid()}")
    words = [debootstrap, "--variant=minbase", f"--include={PACKAGES}", suite(), folder]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        made = folder.with_suffix(".part")
        subprocess.run(["tar", "-C", folder, "-cf", made, "."], check=True)
        made.rename(archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return archive


class Machine:
    """A booted container that sees some folders of this machine under the same paths."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command; return what it printed."""
        command = ["docker", "-H", self.engine.host, "exec", self.name, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr + done.stdout + self.journal()
        return done.stdout.strip()

    def journal(self) -> str:
        """Return the end of the machine's log."""
        return self.run("journalctl", "--no-pager", "-n", "60", check=False)

    def until_up(self) -> None:
        """Wait until the machine has booted."""
        for _ in range(300):
            if self.run("systemctl", "is-system-running", check=False) in ("running", "degraded"):
                return
            time.sleep(0.1)
        pytest.fail(f"systemd does not boot: {self.journal()}")


@contextmanager
def booted(engine: Engine, *folders: Path):
    """Boot a machine that can write to some folders and sees our program and the engine."""
    with open(root_archive(), "rb") as archive:
        subprocess.run(
            ["docker", "-H", engine.host, "import", "-", IMAGE],
            stdin=archive, check=True, capture_output=True,
        )  # fmt: skip
    bounding = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapBnd")
    )
    held = [name for number, name in enumerate(CAPABILITIES.split()) if bounding >> number & 1]
    program = {str(ROOT), sys.base_prefix} - {"/usr"}
    options = [
        *("--network", "none", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns", "host"),
        *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
        *("-e", "container=docker", "--stop-signal", "SIGRTMIN+3"),
        *("-v", "/sys/fs/cgroup:/sys/fs/cgroup"),
        *(word for name in held for word in ("--cap-add", name)),
        *(word for path in sorted(program) for word in ("-v", f"{path}:{path}:ro")),
        *(word for path in (*folders, engine.folder) for word in ("-v", f"{path}:{path}")),
    ]  # fmt: skip
    machine = Machine(engine, "booted")
    engine.docker("run", "-d", "--name", machine.name, *options, IMAGE, "/sbin/init")
    try:
        machine.until_up()
        yield machine
    finally:
        engine.docker("rm", "-f", machine.name)
