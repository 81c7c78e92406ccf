"""List of the picker: keys, scrolling and filters on a list of any length."""

import pytest

from packrat.picker.browser import Browser
from packrat.picker.prompts import Line, Menu
from packrat.picker.screen import Answer, Navigation
from packrat.picker.tree import Tree
from vault.archive.format import Entry

COLUMNS, LINES = 60, 12
PAGE = 7
"""Rows of a list on 12 lines: the others are the title, two marks, a blank line, the keys."""


@pytest.fixture
def menu():
    """A menu of 5,000 lines, drawn once."""
    menu = Menu("Which?", [Line(f"line {number:04}", number) for number in range(5000)])
    menu.draw(COLUMNS, LINES)
    return menu


def shown(menu):
    return [text.rstrip() for _, text in menu.draw(COLUMNS, LINES)]


def press(menu, *keys):
    """Press keys: named ones, or characters; return the last answer."""
    answer = None
    for key in keys:
        answer = menu.handle("", key) if len(key) == 1 else menu.handle(key, "")
        menu.draw(COLUMNS, LINES)
    return answer


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        (["down", "j", "down", "up", "k"], 1),
        (["up"], 0),
        (["pagedown", "pagedown"], 2 * PAGE),
        (["end"], 4999),
        (["G", "pageup"], 4999 - PAGE),
        (["G", "down", "g"], 0),
        (["end", "home"], 0),
    ],
)
def test_keys_move_the_pointer_within_the_list(menu, keys, at):
    press(menu, *keys)
    assert press(menu, "enter") == Answer(at)
    assert f" » line {at:04}" in shown(menu)


def test_a_long_list_shows_its_position_and_how_much_is_above_and_below(menu):
    assert shown(menu)[1].strip() == "1 of 5,000"
    assert shown(menu)[-4:-2] == ["   line 0006", "   ↓ 4,993 more"]
    press(menu, *["down"] * 11)
    assert shown(menu)[1].split() == ["↑", "5", "more", "12", "of", "5,000"]
    press(menu, "end")
    assert shown(menu)[-4:-2] == [" » line 4999", ""]
    assert len(shown(menu)) == LINES


def test_letters_belong_to_the_filter_only_after_a_slash(menu):
    """`j` and `q` are commands before `/` and text behind it; Enter keeps the filter."""
    press(menu, "j", "/", *"jq")
    assert " filter: jq_  (0 found)" in shown(menu)
    press(menu, "backspace", "backspace", *"E 49")
    assert " filter: E 49_  (100 found)" in shown(menu)
    press(menu, "down", "enter", "j")
    assert press(menu, "enter") == Answer(4902)
    assert press(menu, "q") is None
    assert len(menu) == 5000
    assert press(menu, "q") == Answer(Navigation.BACK)


def test_escape_clears_the_filter_before_it_goes_back(menu):
    press(menu, "/", *"12", "escape")
    assert len(menu) == 5000
    assert press(menu, "escape") == Answer(Navigation.BACK)


def test_help_lists_the_keys_until_the_next_one(menu):
    assert press(menu, "?") is None
    text = "\n".join(shown(menu))
    assert "PgUp PgDn" in text
    assert "line 0000" not in text
    press(menu, "q")
    assert " » line 0000" in shown(menu)


@pytest.mark.parametrize("lines", range(2, 12))
def test_a_small_terminal_keeps_the_row_under_the_pointer(menu, lines):
    press(menu, *["down"] * 9)
    drawn = [text for _, text in menu.draw(30, lines)]
    assert " » line 0009" in drawn
    assert len(drawn) <= lines
    assert max(map(len, drawn)) <= 30


def test_arrows_open_folders_and_go_up_to_where_one_was():
    """Up from a folder, and out of a filter, the pointer is on what leads to where it was."""
    folders = [Entry(path, type="dir") for path in ("a", "b", "b/c")]
    tree = Tree([*folders, Entry("a/1"), Entry("b/2"), Entry("b/c/invoice.pdf"), Entry("z")])
    browser = Browser(tree, "title", {})

    def pointed(*keys):
        press(browser, *keys)
        return [text.split()[3] for text in shown(browser) if text.startswith(" »")]

    assert pointed("down", "right", "down") == ["c/"]
    assert pointed("right") == ["invoice.pdf"]
    assert pointed("left") == ["c/"]
    assert pointed("h") == ["b/"]
    assert pointed("left") == ["b/"]
    assert pointed("/", *"*.PDF", "enter") == ["b/c/invoice.pdf"]
    assert pointed("escape") == ["b/"]
    assert press(browser, "escape") == Answer(Navigation.BACK)
    assert pointed("/", *"nothing like it", "enter") == []
    assert "packrat find" in "\n".join(shown(browser))
