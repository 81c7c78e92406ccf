"""Small disks, for tests with full or read-only ones."""

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.needs import need_mounts


@contextmanager
def disk(at: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs; needs root."""
    need_mounts()
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "tmpfs", at], check=True)
    try:
        yield at
    finally:
        gc.collect()  # a cache in a cycle of objects may still be open there
        subprocess.run(["umount", "-l", at], check=True)  # a server may still hold a file there
