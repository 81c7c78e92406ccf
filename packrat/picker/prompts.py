"""Prompts on a terminal: a menu, a line of text, a password.

Every prompt disappears once it is answered, and the next one takes its place. Esc goes back, Ctrl-C
ends the program.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import questionary
from msgspec import Struct
from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings
from prompt_toolkit.output import create_output

from packrat.picker.cells import fit, pieces, width
from packrat.picker.screen import Answer, ListScreen, Navigation
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from questionary import Question


class Line(Struct, frozen=True):
    """One line of a menu; without a value it is a note above the menu."""

    text: str
    value: Any = None
    more: str = ""
    """Note that is shown while the pointer is on the line."""


class Menu(ListScreen):
    """Lines to pick from."""

    def __init__(self, title: str, lines: Sequence[Line], at: Any = None) -> None:
        """Begin at the line with the value `at`."""
        super().__init__()
        notes = [line.text for line in lines if line.value is None]
        self._title = [*title.split("\n"), *notes]
        self._all = [line for line in lines if line.value is not None]
        self._shown = self._all
        self.at = next((n for n, line in enumerate(self._all) if line.value == at), 0)

    def title(self, columns: int) -> list[str]:
        """Return the question and the notes, on as many lines as they need."""
        return [line for text in self._title for line in pieces(text, columns)]

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._shown)

    def row(self, number: int, columns: int) -> str:
        """Return a line, shortened if necessary."""
        return fit(self._shown[number].text, columns).rstrip()

    def below(self, columns: int) -> list[str]:
        """Return what is said about the line under the pointer, and all of it if it is long."""
        if not self._shown:
            return [""]
        line = self._shown[self.at]
        is_whole = self.row(self.at, columns - 2) == printable(line.text).rstrip()
        said = [text for text in ("" if is_whole else line.text, line.more) if text]
        has_more = any(line.more for line in self._all)
        lines = [piece for text in said for piece in pieces(text, columns)]
        return ["", *lines, *[""] * (has_more and not lines)]

    def narrow(self) -> int:
        """Show the lines that contain the filter, in any case."""
        text = self.filter.casefold()
        self._shown = [line for line in self._all if text in line.text.casefold()]
        return 0

    def press(self, key: str) -> Answer | None:
        """Choose the line with Enter."""
        return Answer(self._shown[self.at].value) if key == "enter" and self._shown else None


def pick(title: str, lines: Sequence[Line], *, at: Any = None) -> Any:
    """Return the value of the line that the user picks, or Navigation.BACK for Esc."""
    return Menu(title, lines, at).ask()


def confirm_plan(
    lines: Sequence[str], question: str, yes: str, *, careful: bool
) -> Navigation | None:
    """Show a plan and ask whether to carry it out; None for yes.

    If `careful`, the pointer begins at no.
    """
    answers = [
        Line(yes, "yes"),
        Line("no, change nothing", Navigation.LEAVE),
        Line("← back", Navigation.BACK),
    ]
    title = "\n  ".join(["The plan", *lines, "", question])
    answer = pick(title, answers, at=Navigation.LEAVE if careful else "yes")
    return answer if isinstance(answer, Navigation) else None


def ask_text(title: str, default: str = "") -> Any:
    """Return the line that the user types, or Navigation.BACK."""
    return _ask(questionary.text(title, default=default, qmark="", **_surroundings()))


def ask_secret(title: str) -> Any:
    """Return the password that the user types, or Navigation.BACK."""
    return _ask(questionary.password(title, qmark="", **_surroundings()))


def notice(text: str) -> None:
    """Show that something takes a moment; the next prompt overwrites the line."""
    print(f"{fit(text, width() - 1)}\r", end="", file=sys.stderr, flush=True)


def _surroundings() -> dict[str, Any]:
    return {
        "output": create_output(sys.stderr),  # standard output is for the command's result
        "erase_when_done": True,
        "bottom_toolbar": " enter accept  esc back",
        "style": questionary.Style([("bottom-toolbar", "noreverse dim")]),
    }


def _ask(question: Question) -> Any:
    """Return the answer to a prompt of questionary, to which Esc is added."""
    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: Any) -> None:
        event.app.exit(result=Navigation.BACK)

    app = question.application
    app.key_bindings = merge_key_bindings([app.key_bindings, keys] if app.key_bindings else [keys])
    app.ttimeoutlen = 0.05  # distinguishes Esc from the start of an arrow key
    return question.unsafe_ask()
