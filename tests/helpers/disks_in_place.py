"""Filesystems on loop devices, for tests that mount, remount and fill disks."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

NEEDS = "needs root, mkfs.{} (Debian: e2fsprogs, xfsprogs) and loop devices"


def require_loop(kind):
    """Skip if nothing can be mounted; fail in CI, where that is possible."""
    there = (
        os.geteuid() == 0 and shutil.which(f"mkfs.{kind}") and os.path.exists("/dev/loop-control")
    )
    if not there:
        if os.environ.get("CI") == "true":
            pytest.fail(NEEDS.format(kind))
        pytest.skip(NEEDS.format(kind))


@contextmanager
def mounted(image, point, kind="ext4", megabytes=32, options="loop"):
    """Mount an image at a folder; create the image if it does not exist."""
    require_loop(kind)
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        flags = ["-q", "-F", "-m", "0"] if kind == "ext4" else ["-q"]
        subprocess.run([f"mkfs.{kind}", *flags, image], check=True)
    point.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", options, image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)
