"""Requirements of tests: where one is missing, the test is skipped, or fails in CI."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from subprocess import DEVNULL
from typing import NoReturn

import pytest

PACKAGES = {
    "dot": "graphviz",
    "node": "nodejs",
    "setfacl": "acl",
    "ssh-keygen": "openssh-client",
}
"""Program -> Debian's package, if that has another name."""


def need(program: str, how: str = "") -> str:
    """Return the path of a program; skip the test without it, or fail in CI."""
    how = how or f"apt install {PACKAGES.get(program, program)}"
    found = shutil.which(
        program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    )
    if found is None:
        lacks(f"needs {program}: {how}")
    return found


def lacks(message: str) -> NoReturn:
    """Skip the test, or fail in CI, because the machine lacks something."""
    pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


def need_mounts() -> None:
    """Skip the test, or fail in CI, where root may not mount."""
    if not _may_mount():
        lacks("needs the right to mount, which root has outside of containers")


@cache
def _may_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], stderr=DEVNULL, check=False).returncode == 0


def need_readable_code() -> None:
    """Skip the test, or fail in CI, where other users cannot reach the repository."""
    for folder in Path(__file__).parents:
        if not folder.stat().st_mode & 0o001:
            lacks(f"needs the repository where other users can read it: {folder} is closed to them")


def need_loop_devices(kind: str = "ext4") -> None:
    """Skip the test, or fail in CI, where no filesystem of this kind can be made and mounted."""
    need(f"mkfs.{kind}", f"apt install {'e2fsprogs' if kind == 'ext4' else 'xfsprogs'}")
    need_mounts()
    if not os.path.exists("/dev/loop-control"):
        lacks("needs loop devices: run it on the host, or in a privileged container")
