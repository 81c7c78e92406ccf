"""Commands and sample outputs of docs/first-steps.md."""

import re
from itertools import repeat
from pathlib import Path

from msgspec import Struct

PAGE = Path(__file__).parents[2] / "docs" / "first-steps.md"
INSTALLS = re.compile(r"python3 -m venv|pip install")
"""Lines that need a package index; a test stands in for what they make."""
ROOT_STEP = "## 8."


class Block(Struct, frozen=True):
    """Block of the page: `sh` to type, `yaml` to write to a file, or `text` that is printed."""

    kind: str
    text: str

    @property
    def script(self) -> str:
        """The commands, without those that install from a package index."""
        return "".join(one for one in self.text.splitlines(True) if not INSTALLS.search(one))


def blocks(*, as_root: bool) -> list[Block]:
    """Return the blocks of the steps of a user, or of those of root."""
    page = PAGE.read_text().split(ROOT_STEP)[as_root]
    return [Block(*found) for found in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)]


def shape(text: str) -> list[str]:
    """Return the lines of an output without ids, numbers, units and the width of columns."""
    for pattern, word in (
        (r"\b[0-9a-f]{8}\b", "ID"),
        (r"\d+([.:-]\d+)*( (B|KiB|MiB|GiB|s|min|h))?", "N"),
    ):
        text = re.sub(pattern, word, text)
    return [" ".join(line.split()) for line in text.splitlines()]


def lacks(sample: str, printed: str) -> list[str]:
    """Return the lines of a sample output that were not printed.

    On a terminal of 80 columns, a table may lack its last one.
    """
    there = shape(printed)
    return [line for line in shape(sample) if not any(map(str.startswith, there, repeat(line)))]
