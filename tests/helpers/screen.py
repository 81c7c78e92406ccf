"""Real terminal, by tmux: its screen, and the keys that a person presses."""

import re
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.house import House
from tests.helpers.needs import need

PATIENCE = 30
SWAPS = (
    (r"\d{4}-\d\d-\d\d", "YYYY-MM-DD"),
    (r"\d\d:\d\d:\d\d", "HH:MM:SS"),
    (r"\d\d:\d\d", "HH:MM"),
    (r"DD-\d{4}", "DD-HHMM"),
    (r"(today|yesterday) HH", "today HH"),
    (r"\d{8}T\d{6}Z", "STAMP"),
    (r"\b[0-9a-f]{8}\b", "0badcafe"),
    (r"[\d.]+ [GTM]iB free", "N free"),
    (r"\d+\.\d s\b", "N s"),
    (r" +$", ""),
)
"""Texts that differ from run to run. In columns, the replacement has the same length."""


class Screen:
    """A packrat process on a terminal of its own."""

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._tmux = [need("tmux", "apt install tmux"), "-L", name, "-f", "/dev/null"]

    def tmux(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=False)
        return done.stdout

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names; other texts are typed."""
        self.tmux("send-keys", *names)

    def text(self) -> str:
        """Return the screen, without what differs from run to run."""
        said = self.tmux("capture-pane", "-p").replace(str(self._house.root), "ROOT")
        for pattern, word in SWAPS:
            said = re.sub(pattern, word, said, flags=re.MULTILINE)
        return said.strip("\n") + "\n"

    def until(self, *parts: str) -> str:
        """Wait until the screen contains all parts and no longer changes; return it."""
        end = time.monotonic() + PATIENCE
        last = ""
        while time.monotonic() < end:
            said = self.text()
            if all(part in said for part in parts) and said == last:
                return said
            last = said
            time.sleep(0.03)
        message = f"never seen: {parts}; instead:\n{last}"
        raise AssertionError(message)

    def seconds_until(self, part: str, *names: str) -> float:
        """Press keys; return the seconds until a text appears."""
        begun = time.monotonic()
        self.keys(*names)
        while part not in self.text():
            assert time.monotonic() < begun + PATIENCE, self.text()
        return time.monotonic() - begun


@contextmanager
def screen(
    house: House, *words: str, env: str = "", size: tuple[int, int] = (80, 24)
) -> Iterator[Screen]:
    """Run packrat in tmux, on a terminal of some columns and lines; it ends with its status."""
    shown = Screen(house, f"packrat-{uuid.uuid4().hex[:8]}")
    command = [sys.executable, "-m", "packrat", "-c", str(house.config_file), *words]
    line = f"env {env} {shlex.join(command)}; echo EXIT $?; sleep 600"
    project = str(Path(__file__).parents[2])
    here = str(house.root)
    columns, lines = map(str, size)
    start = ["new-session", "-d", "-x", columns, "-y", lines, "-c", here]
    try:
        shown.tmux(*start, "bash", "-c", f"export PYTHONPATH={shlex.quote(project)}; {line}")
        yield shown
    finally:
        shown.tmux("kill-server")
