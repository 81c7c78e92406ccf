"""Screens of the picker on terminals of 60, 80 and 120 columns, compared with a golden file."""

import tempfile
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.screen import screen
from tests.helpers.transcript import check_golden
from tests.helpers.trees import fill, noise

GOLDEN = Path(__file__).parent / "golden" / "picker_widths.txt"
DEEP = f"photos/{'a-folder-with-a-long-name/' * 5}last.jpg"
MINUTE = 60 * 10**9


@pytest.fixture(scope="module")
def house():
    """Three backups at two destinations, two of them of one minute; then two files change."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pk") as folder:
        house = House(Path(folder), destinations=("local", "nas"), service="gitea")
        photos = {f"photos/{n:03}.jpg": noise(2000, n) for n in range(40)}
        begun = time.time_ns() // MINUTE * MINUTE - 3 * MINUTE
        for seconds, files in (
            (0, photos | {DEEP: b"deep", "app.ini": noise(3000), "日本語の名前": b"x"}),
            (70, {"app.ini": b"two", "late": b"late"}),
            (80, {"app.ini": b"three"}),
        ):
            fill(house.source, files)
            clock = Clock(now=lambda at=begun + seconds * 10**9: at)
            assert house.back_up(clock=clock).status == "done"
        (house.source / "photos/001.jpg").unlink()
        fill(house.source, {"app.ini": b"written since"})
        yield house


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_screens_fit_the_terminal(house, columns):
    """Backups, folders, filter, help, versions and plan equal the golden file, in this order."""

    def check(title, text):
        assert max(map(cell_len, text.splitlines())) <= columns
        check_golden(GOLDEN, f"{title}, {columns} columns", text)

    with screen(house, "restore", "gitea", size=(columns, 24)) as shown:
        check("backups", shown.until("Which backup", "back"))
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        check("folders", shown.until("nothing selected yet", "changed"))
        shown.keys("/", "*.jpg")
        check("filter", shown.until("(41 found)", "gone"))
        shown.keys("Enter", "a", "End")
        check("all matches", shown.until("41 files", "41 of 41"))
        shown.keys("?")
        check("help", shown.until("PgUp PgDn"))
        shown.keys("?", "Escape", "Home", "v")
        check("versions", shown.until("Restore which version", "the oldest"))
        shown.keys("Escape")
        shown.until("41 files")
        shown.keys("d")
        shown.until("Where to?")
        shown.keys("Down", "Enter")
        check("plan", shown.until("Restore?", "back"))
        shown.keys("C-c")
        shown.until("EXIT 130")
