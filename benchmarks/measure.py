"""Cost of a command: wall time, CPU time and peak memory."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

CHILD = Path(__file__).with_name("child.py")


class CommandFailedError(Exception):
    """Error of a measured command that ended with an exit status other than 0."""


@dataclass(frozen=True)
class Cost:
    """Cost of one command, with all the processes it started and waited for."""

    wall: float
    """Seconds on the clock."""
    cpu: float
    """Seconds on all cores, in user and kernel mode."""
    memory: int
    """Peak resident bytes, of all its processes together."""

    @classmethod
    def median(cls, costs: Iterable[Self]) -> Self:
        """Return the median of each figure separately."""
        walls, cpus, memories = zip(*((c.wall, c.cpu, c.memory) for c in costs), strict=True)
        return cls(median(walls), median(cpus), int(median(memories)))


def run(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Cost:
    """Run a command to its end; its output goes to a log that is shown if it fails."""
    os.sync()  # dirty pages of earlier commands must not count as this one's
    figures = log.with_suffix(".cost")
    with log.open("wb") as output:
        status = subprocess.run(
            [sys.executable, "-I", CHILD, figures, *command],
            env=os.environ | (env or {}),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status:
        raise CommandFailedError(
            f"{' '.join(command)} ended with {status}:\n{log.read_text(errors='replace')[-4000:]}"
        )
    return Cost(*json.loads(figures.read_text()))


def stored(folder: Path) -> int:
    """Return the bytes that a folder takes on the disk."""
    return sum(
        (Path(parent) / name).lstat().st_blocks * 512
        for parent, _, names in os.walk(folder)
        for name in names
    )


def new_folder(above: Path) -> Path:
    """Create a folder to restore to, beside those of earlier restores.

    They are not deleted in between: ext4 without a journal checks each inode that was freed in the
    last minutes before it takes another, and the next restore would pay for that. In memory, room
    is what matters, so there only the newest stays.
    """
    above.mkdir(parents=True, exist_ok=True)
    earlier = list(above.iterdir())
    folder = above / str(1 + max((int(one.name) for one in earlier), default=-1))
    if _in_memory(above):
        for one in earlier:
            shutil.rmtree(one)
    folder.mkdir()
    return folder


def _in_memory(folder: Path) -> bool:
    """Return whether a folder is on a tmpfs."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "tmpfs\n"
