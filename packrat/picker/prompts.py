"""Questions on a terminal, by questionary: a list to pick from, a line of text, a password.

Every question is gone once it is answered, so that the next one stands in its place. Esc goes back,
Ctrl-C ends the program; nothing here changes anything.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from questionary import Question


class Way(Enum):
    """An answer that is none: where to go instead."""

    BACK = "back"
    LEAVE = "leave"


class Line(Struct, frozen=True):
    """One line of a list; without a value it only parts others."""

    text: str
    value: Any = None


class Ticked(Struct, frozen=True):
    """The space bar was pressed on this value."""

    value: Any


def width() -> int:
    """Give the columns of the terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def height() -> int:
    """Give the lines of the terminal."""
    return shutil.get_terminal_size((80, 24)).lines


def fit(text: str, columns: int) -> str:
    """Make a text harmless, and cut it in the middle where it is too wide."""
    from prompt_toolkit.utils import get_cwidth

    text = printable(text)
    if get_cwidth(text) <= columns:
        return text + " " * (columns - get_cwidth(text))
    head, tail = columns // 2, (columns - 1) // 2
    while get_cwidth(text[:head]) > columns // 2:
        head -= 1
    while tail and get_cwidth(text[-tail:]) > (columns - 1) // 2:
        tail -= 1
    short = f"{text[:head]}…{text[-tail:] if tail else ''}"
    return short + " " * (columns - get_cwidth(short))


def pick(
    title: str,
    lines: Sequence[Line],
    *,
    at: Any = None,
    hint: str = "",
    ticks: bool = False,
    keys: Mapping[str, Any] | None = None,
) -> Any:
    """Let one line be picked; gives its value, Way.BACK for Esc, or with `ticks` a Ticked.

    `keys` are letters, and the values that they give.
    """
    import questionary
    from questionary.prompts.common import InquirerControl

    columns = width() - 4
    choices: list[Any] = [
        questionary.Separator(fit(line.text, columns).rstrip())
        if line.value is None
        else questionary.Choice(fit(line.text, columns).rstrip(), _Held(line.value))
        for line in lines
    ]
    values = [line.value for line in lines]
    start = choices[values.index(at)] if at is not None and at in values else None
    question = questionary.select(
        title,
        choices,
        default=start,
        qmark="?",
        instruction=hint or "(arrows and enter; esc goes back)",
        use_jk_keys=False,
        # Marks the line where it starts, and not where it is, when colours have a say.
        style=questionary.Style([("selected", ""), ("highlighted", "bold")]),
        **_surroundings(),
    )
    [control] = [
        control
        for control in question.application.layout.find_all_controls()
        if isinstance(control, InquirerControl)
    ]

    def ticked() -> Any:
        held: Any = control.get_pointed_at().value
        return Ticked(held.value)

    more: dict[str, Callable[[], Any]] = {" ": ticked} if ticks else {}
    more |= {key: partial(_Held, value) for key, value in (keys or {}).items()}
    answer = _ask(question, more)
    return answer.value if isinstance(answer, _Held) else answer


def ask_text(title: str, default: str = "", hint: str = "") -> Any:
    """Let a line be typed; gives it, or Way.BACK."""
    import questionary

    question = questionary.text(
        title, default=default, qmark="?", instruction=hint or None, **_surroundings()
    )
    return _ask(question, {})


def ask_secret(title: str) -> Any:
    """Let a password be typed; gives it, or Way.BACK."""
    import questionary

    return _ask(questionary.password(title, qmark="?", **_surroundings()), {})


def confirm(question: str) -> bool:
    """Ask a yes-or-no question, whose answer is no unless chosen otherwise."""
    lines = [Line("yes", value=True), Line("no, change nothing", value=False)]
    return pick(question, lines, at=False) is True


def tell(text: str) -> None:
    """Say that something takes a moment; the next question writes over it."""
    print(f"{fit(text, width() - 1)}\r", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class _Held:
    """A value, in a wrapping that questionary does not look into."""

    value: Any


def _surroundings() -> dict[str, Any]:
    # On standard error: standard output belongs to what the command gives.
    from prompt_toolkit.output import create_output

    return {"output": create_output(sys.stderr), "erase_when_done": True}


def _ask(question: Question, more: dict[str, Callable[[], Any]]) -> Any:
    """Ask, with keys of our own beside questionary's."""
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings

    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: Any) -> None:
        event.app.exit(result=Way.BACK)

    for key, answer in more.items():

        @keys.add(key, eager=True)
        def _(event: Any, answer: Callable[[], Any] = answer) -> None:
            event.app.exit(result=answer())

    app = question.application
    app.key_bindings = merge_key_bindings([app.key_bindings, keys] if app.key_bindings else [keys])
    app.ttimeoutlen = 0.05  # an Esc alone is told from the beginning of an arrow key by waiting
    return question.unsafe_ask()
