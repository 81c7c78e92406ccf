"""What a person sees on a terminal: questions, bars, and Ctrl-C; and nothing of it in a pipe."""

import os
import re
import signal
import time

import pexpect
import pytest

from tests.helpers.house import PASSWORD, House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import differences, fill, noise

MIB = 1 << 20
BAR = re.compile(
    r"svc[^\n]*: (?P<what>reading|to local|restoring|verifying) +[━╸╺]+ +"
    r"(?P<bytes>[\d.]+(/[\d.]+)? [KMG]?i?B)( +(?P<files>[\d,]+ files?))?"
    r"( +(?P<rate>[\d.]+ [KMG]?i?B/s))?( +(?P<left>\d\d:\d\d|--:--))?"
)


def slow(house, *, to="1MiB/s"):
    """Make the destination as slow as a home's upload."""
    text = house.config_file.read_text()
    house.config_file.write_text(text.replace("type: local", f"type: local, limit: {to}"))
    return house


@pytest.fixture
def slow_house(tmp_path):
    house = House(tmp_path)
    text = house.config_file.read_text()
    assert "      type: local\n" in text
    house.config_file.write_text(
        text.replace("      type: local\n", "      type: local\n      limit: 1 MiB/s\n")
    )
    fill(house.source, {f"f{n}": noise(MIB // 4, n) for n in range(12)})
    return house


def bars(text):
    found = [match.groupdict() for match in BAR.finditer(plain(text))]
    return {what: [bar for bar in found if bar["what"] == what] for what in {b["what"] for b in found}}


def paused(child, begun, seconds=1.3):
    """Let a run that would be over in a moment take longer than a second."""
    deadline = time.monotonic() + 30
    while not begun():
        assert child.isalive()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGCONT)


def test_a_backup_shows_bytes_files_rate_and_time_left(slow_house):
    """What is read and what each destination takes; the bars are gone at the end."""
    child = terminal(slow_house, "backup", "svc")
    assert status(child) == 0
    shown = bars(child.before)
    [reading, sending] = shown["reading"], shown["to local"]
    assert "12 files" in {bar["files"] for bar in reading} or reading[-1]["files"] == "13 files"
    assert all(bar["bytes"].endswith("3.0 MiB") for bar in reading)
    assert len({bar["bytes"] for bar in sending}) > 2, "the bar moves"
    assert any(bar["rate"] for bar in sending)
    assert all(len(line) <= 80 for line in plain(child.before).split("\n")[:-2])
    last = plain(child.before).strip().split("\n")[-1]
    assert re.match(r"svc: [0-9a-f]{8} full, 12 files, 3.0 MiB; read 3.0 MiB, stored 3.0 MiB", last)
