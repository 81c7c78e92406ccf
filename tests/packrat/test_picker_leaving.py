"""Ways to leave the picker in a real terminal: Ctrl-C at every prompt, Esc all the way back."""

import pytest

from tests.helpers.house import cheap_keys
from tests.helpers.screen import screen
from vault.archive.key_file import write_key_file

LEFT = "packrat: interrupted; nothing was restored\nEXIT 130\n"

WAY = [
    ("which service", ["Enter"]),
    ("Which backup", ["Enter"]),
    ("What of", ["Enter"]),
    ("Where to", ["Enter"]),
    ("Which folder", ["Enter"]),
    ("Restore?", []),
]
BROWSER = [
    *WAY[:2],
    ("What of", ["Down", "Enter"]),
    ("nothing selected yet", ["Space"]),
    ("1 file, 2.9 KiB selected", ["?"]),
    ("PgUp PgDn", ["?", "v"]),
    ("Restore which version", ["Escape", "/"]),
    ("filter: _", []),
]
LOCKED = [*WAY[:2], ("Password, for", ["wrong", "Enter"]), ("Wrong password", [])]


def everything(house):
    """Return every file and folder except the caches, which any command may change."""
    return sorted(path for path in house.root.rglob("*") if "sqlite" not in path.name)


def left_at(house, way, number):
    """Take the first steps of a way, press Ctrl-C, and return what stays on the screen."""
    with screen(house, "restore") as shown:
        for prompt, keys in way[:number]:
            shown.until(prompt)
            shown.keys(*keys)
        shown.until(way[number][0])
        shown.keys("C-c")
        return shown.until("EXIT")


@pytest.mark.parametrize(
    ("way", "numbers"),
    [
        pytest.param(WAY, [0, 4], id="a menu and a text"),
        pytest.param(WAY, [1, 2, 3, 5], id="other steps", marks=pytest.mark.thorough),
        pytest.param(BROWSER, [3, 4, 5, 6, 7], id="browser", marks=pytest.mark.thorough),
    ],
)
def test_ctrl_c_at_every_prompt_changes_nothing(filled, way, numbers):
    """Exit 130 with one line and no changes, at each prompt, list, help and filter."""
    before = everything(filled)
    for number in numbers:
        assert left_at(filled, way, number) == LEFT, way[number][0]
    assert everything(filled) == before


def test_ctrl_c_at_a_password_changes_nothing(filled):
    """At the first and at a repeated prompt for the password of a locked backup."""
    filled.key_file.unlink()
    write_key_file(str(filled.key_file), cheap_keys("another"))
    before = everything(filled)
    for number in (2, 3):
        assert left_at(filled, LOCKED, number) == LEFT
    assert everything(filled) == before


def test_going_back_from_the_last_screen_to_the_first_and_out(filled):
    """Esc at each screen leads to the one before, and leaves at the first one."""
    with screen(filled, "restore") as shown:
        for prompt, keys in WAY:
            shown.until(prompt)
            if keys:
                shown.keys(*keys)
        for prompt, _ in reversed([step for step in WAY[:-1] if step[0] != "Which folder"]):
            shown.keys("Escape")
            shown.until(prompt)
        shown.keys("Escape")
        assert shown.until("EXIT") == "nothing was restored\nEXIT 130\n"
