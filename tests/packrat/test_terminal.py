"""Progress bars on a terminal, which move and disappear at the end; none in a pipe."""

import re
import signal
import tempfile
from pathlib import Path

import pytest

from tests.helpers.house import House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import fill, noise

MIB = 1 << 20
BAR = re.compile(
    r"svc: (?P<what>reading|to local) +[━╸╺]+ +"
    r"(?P<bytes>[\d.]+(/[\d.]+)? [KMG]?i?B)( +(?P<files>[\d,]+ files?))?"
    r"( +(?P<rate>[\d.]+ [KMG]?i?B/s))?( +(?P<left>\d\d:\d\d|--:--))?"
)


@pytest.fixture
def slow_house(tmp_path):
    """A house whose destination is a slow separate disk, so that no file is linked there."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as store:
        places = {"local": {"type": "local", "path": store, "limit": "8 MiB/s"}}
        house = House(tmp_path, backup={"retain_backups": 7, "destinations": places})
        house.stores = {"local": Path(store)}
        fill(house.source, {f"f{n}": noise(MIB, n) for n in range(24)})
        yield house


def bars(text):
    found = [match.groupdict() for match in BAR.finditer(plain(text))]
    names = {bar["what"] for bar in found}
    return {name: [bar for bar in found if bar["what"] == name] for name in names}


def test_a_backup_shows_bytes_files_rate_and_time_left(slow_house):
    """One bar for reading and one for each destination; they disappear at the end."""
    child = terminal(slow_house, "backup", "svc")
    assert status(child) == 0
    shown = bars(child.before)
    assert shown["reading"][-1]["files"] == "25 files", "the folder counts"
    assert any(bar["bytes"] == "24.0/24.0 MiB" for bar in shown["reading"])
    assert len({bar["bytes"] for bar in shown["to local"]}) > 1, "the bar moves"
    assert any(bar["rate"] for bar in shown["to local"])
    result = r"svc: [0-9a-f]{8} full, 24 files, 24.0 MiB; read 24.0 MiB, stored 24\.\d MiB at\s"
    assert re.search(result, plain(child.before)), "broken at a word"


def test_ctrl_c_at_a_bar_ends_in_one_sentence(slow_house):
    """Exit 130, one message, and no unfinished file at the destination."""
    child = terminal(slow_house, "backup", "svc")
    child.expect("to local")
    child.kill(signal.SIGINT)
    assert status(child) == 130
    last = plain(child.before).strip().split("\n")[-2:]
    assert last == [
        "packrat: svc: interrupted; the next packrat command repairs what is left",
        "unfinished",
    ]
    assert not [file for file in slow_house.stores["local"].rglob("*") if file.is_file()]
    assert "\nsvc: interrupted; the next packrat command" in slow_house.cli("status").stdout
