"""Screen with a list of any length, which scrolls, filters as one types, and shows its keys.

Letters are commands. `/` begins a filter, and until Enter or Esc letters belong to it.
"""

from __future__ import annotations

import sys
from enum import Enum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from prompt_toolkit import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import Dimension, Layout, UIContent, UIControl, Window
from prompt_toolkit.output import create_output
from questionary import Question, Style

from packrat.picker.cells import fit, height, pieces, width
from packrat.text.layout import GAP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LETTERS = {"k": "up", "j": "down", "h": "left", "l": "right", "g": "home", "G": "end"}
LETTERS |= {"q": "escape"}
"""Letters that do the same as a key, while no filter is typed."""
KEYS = ["up", "down", "left", "right", "pageup", "pagedown", "home", "end", "enter", "escape"]
KEYS += ["backspace", "c-u", "c-c", "<sigint>", "<bracketed-paste>", "<any>"]
COMMON = (
    ("? help", "?", "show or hide this help"),
    ("esc back", "Esc or q", "clear the filter, or go back one step"),
)
MOVES = (
    ("", "↑ ↓ or k j", "move by one"),
    ("", "PgUp PgDn", "move by one screen"),
    ("", "Home End or g G", "move to the first or last"),
    ("", "Ctrl-C", "leave; nothing is changed"),
)
FILTER = ("/ filter", "/", "show only what contains the text that you type")
TYPING = "type to filter, enter keeps it, esc clears it"
STYLE = [("title", "bold"), ("pointed", "bold"), ("footer", "dim")]

Styled = tuple[str, str]
"""Style and text of a line."""


class Navigation(Enum):
    """Navigation instead of an answer."""

    BACK = "back"
    LEAVE = "leave"


class Answer(Struct, frozen=True):
    """End of a screen, with what it returns."""

    value: Any


class ListScreen:
    """List on a terminal; subclasses say what is in it and what its keys do."""

    whole: ClassVar[bool] = False
    """True if the list keeps the terminal for itself."""
    keys: ClassVar[Sequence[tuple[str, str, str]]] = (("enter choose", "Enter", "choose"), FILTER)
    """Text for the footer, the most important key first; key and sentence for the help."""

    def __init__(self) -> None:
        self.at = 0
        """Number of the row under the pointer."""
        self.filter = self.said = ""
        """`said` is a message, until the next key."""
        self._typing = self._helping = False
        self._top, self._page = 0, 1
        self._app: Application[Any] | None = None

    def title(self, columns: int) -> list[str]:
        """Return the lines above the list."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def row(self, number: int, columns: int) -> str:
        """Return a row, which is only called for rows that are visible."""
        raise NotImplementedError

    def below(self, columns: int) -> list[str]:
        """Return the lines between list and footer."""
        raise NotImplementedError

    def narrow(self) -> int:
        """Show only what matches the filter, which has changed; return the pointer's row."""
        raise NotImplementedError

    def press(self, key: str) -> Answer | None:
        """Handle a key of the subclass; return an Answer to end."""
        raise NotImplementedError

    def back(self) -> Answer | None:
        """Go back one step; return an Answer to end the screen."""
        return Answer(Navigation.BACK)

    def ask(self) -> Any:
        """Show the screen; return the answer, Navigation.BACK for Esc."""
        self._typing = self._helping = False
        control = _Drawing(self.draw)
        self._app = Application(
            Layout(Window(control, height=None if self.whole else self._height)),
            key_bindings=self._bindings(),
            style=Style(STYLE),
            full_screen=self.whole,
            erase_when_done=True,
            output=create_output(sys.stderr),  # standard output is for the command's result
        )
        self._app.ttimeoutlen = 0.05  # distinguishes Esc from the start of an arrow key
        try:
            return Question(self._app).unsafe_ask()
        finally:
            self._app = None

    def _height(self) -> Dimension:
        """Return as many lines as there are, so that a menu stays below what was printed."""
        return Dimension(preferred=len(self.draw(width(), height())))

    def redraw(self) -> None:
        """Draw again, because a row has changed; any thread may call this."""
        if app := self._app:
            app.invalidate()

    def draw(self, columns: int, lines: int) -> list[Styled]:
        """Return the lines of the screen, at most `lines`; the pointer's row is among them."""
        above = [("class:title", f" {text}") for text in self.title(columns - 2)]
        if self.filter or self._typing:
            cursor = "_" * self._typing
            above.append(("", f" filter: {self.filter}{cursor}{GAP}({len(self):,} found)"))
        below = [] if self._helping else self.below(columns - 2)
        under = [("", f" {text}") for text in below]
        under.append(("class:footer", f" {self._footer(columns - 1)}"))
        room = max(lines - len(above) - len(under), 3)
        body = self._help(columns - 2) if self._helping else self._list(columns, room)
        if self.whole:
            body += [("", "")] * (room - len(body))
        most = max(lines - len(body) - len(under), 0)  # a tiny terminal keeps list and keys
        return [*above[max(len(above) - most, 0) :], *body, *under][:lines]

    def _list(self, columns: int, room: int) -> list[Styled]:
        count = len(self)
        self.at = max(0, min(self.at, count - 1))
        scrolls = count > room
        self._page = page = max(room - 2, 1) if scrolls else room
        self._top = max(min(self._top, self.at, count - page), self.at - page + 1, 0)
        shown = range(self._top, min(self._top + page, count))
        lines = [
            ("class:pointed", f" » {self.row(number, columns - 4)}")
            if number == self.at
            else ("", f"   {self.row(number, columns - 4)}")
            for number in shown
        ]
        if not scrolls:
            return lines
        above, below = self._top, count - shown.stop
        marks = [f"   ↑ {above:,} more" * (above > 0), f"   ↓ {below:,} more" * (below > 0)]
        place = f"{self.at + 1:,} of {count:,} "
        first = f"{marks[0]}{' ' * (columns - len(marks[0]) - len(place))}{place}"
        return [("class:footer", first), *lines, ("class:footer", marks[1])]

    def _footer(self, columns: int) -> str:
        if self._typing:
            return fit(TYPING, columns).rstrip()
        hints = [text for text, _, _ in self.keys if text]
        common = [text for text, _, _ in COMMON]
        while hints and len(GAP.join([*hints, *common])) > columns:
            hints.pop()
        return GAP.join([*hints, *common])

    def _help(self, columns: int) -> list[Styled]:
        rows = [(key, sentence) for _, key, sentence in (*self.keys, *MOVES, *COMMON)]
        wide = max(len(key) for key, _ in rows)
        return [
            ("", f"   {name:<{wide}}  {line}")
            for key, text in rows
            for name, line in zip_longest([key], pieces(text, columns - wide - 4), fillvalue="")
        ]

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        for name in KEYS:

            @bindings.add(name, eager=name == "escape")
            def _(event: Any, name: str = name) -> None:
                if name in ("c-c", "<sigint>"):
                    event.app.exit(exception=KeyboardInterrupt)
                elif answer := self.handle("" if name.startswith("<") else name, event.data):
                    event.app.exit(result=answer.value)

        return bindings

    def handle(self, key: str, typed: str) -> Answer | None:
        """Handle a key by its name, or what was typed if it has none."""
        self.said = ""
        if self._helping:
            self._helping = False
            return None
        if not self._typing and not key:
            key, typed = LETTERS.get(typed, typed), ""
        step = {"up": -1, "down": 1, "pageup": -self._page, "pagedown": self._page}.get(key)
        step = {"home": -len(self), "end": len(self)}.get(key, step)
        if step is not None:
            self.at = max(0, min(self.at + step, len(self) - 1))
        elif self._typing:
            self._type(key, typed)
        elif key == "/":
            self._typing = True
        elif key == "?":
            self._helping = True
        elif key == "escape":
            if not self.filter:
                return self.back()
            self._refilter("")
        else:
            return self.press(key)
        return None

    def _type(self, key: str, typed: str) -> None:
        if key in ("enter", "escape"):
            self._typing = False
        text = {"backspace": self.filter[:-1], "c-u": "", "escape": ""}.get(key, self.filter)
        text += "".join(c for c in typed if c.isprintable()) if not key else ""
        self._typing &= key != "backspace" or bool(self.filter)
        if text != self.filter:
            self._refilter(text)

    def _refilter(self, text: str) -> None:
        self.filter = text
        self.at = self.narrow()


class _Drawing(UIControl):
    """Control that draws its lines for the size that it gets, instead of all of a long list."""

    def __init__(self, draw: Callable[[int, int], list[Styled]]) -> None:
        self._draw = draw

    def create_content(self, width: int, height: int) -> UIContent:
        lines = self._draw(width, height)
        at = next((n for n, (style, _) in enumerate(lines) if style == "class:pointed"), 0)
        return UIContent(
            lambda number: [lines[number]], len(lines), Point(0, at), show_cursor=False
        )
