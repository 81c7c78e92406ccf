"""Filesystems on loop devices, for tests that mount, remount and fill disks."""

import subprocess
from contextlib import contextmanager

from tests.helpers.needs import need_loop_devices


@contextmanager
def mounted(image, point, kind="ext4", megabytes=32, options="loop"):
    """Mount an image at a folder; create the image if it does not exist."""
    need_loop_devices(kind)
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
