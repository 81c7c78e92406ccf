"""What a command costs: wall time, CPU time and peak memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

CHILD = Path(__file__).with_name("child.py")


class CommandFailedError(Exception):
    """A measured command ended with an exit status other than 0."""


@dataclass(frozen=True)
class Cost:
    """The price of one command, with all the processes it started and waited for."""

    wall: float
    """Seconds on the clock."""
    cpu: float
    """Seconds of all cores, in user and kernel mode."""
    memory: int
    """Bytes resident at the peak, of all its processes together."""

    @classmethod
    def median(cls, costs: Iterable[Self]) -> Self:
        """Take the median of each figure by itself."""
        walls, cpus, memories = zip(*((c.wall, c.cpu, c.memory) for c in costs), strict=True)
        return cls(median(walls), median(cpus), int(median(memories)))


def run(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Cost:
    """Run a command to its end, its output in a log that is shown when it fails."""
    os.sync()  # what earlier commands left to write is not this one's to pay
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
    """Bytes that a folder takes on the disk."""
    return sum(
        (Path(parent) / name).lstat().st_blocks * 512
        for parent, _, names in os.walk(folder)
        for name in names
    )


def new_folder(above: Path) -> Path:
    """Make a folder to restore to, beside those of the restores before.

    They are not deleted in between: ext4 without a journal looks at each inode that was freed in
    the last minutes before it takes another, and whoever restores next would pay for that.
    """
    folder = above / str(sum(1 for _ in above.glob("*")))
    folder.mkdir(parents=True)
    return folder
