"""Prompts on a terminal, by questionary: a list to pick from, a line of text, a password.

Every prompt disappears once it is answered, and the next one takes its place. Esc goes back, Ctrl-C
ends the program.
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


class Navigation(Enum):
    """Navigation instead of an answer."""

    BACK = "back"
    LEAVE = "leave"


class Line(Struct, frozen=True):
    """One line of a list; without a value it is a separator."""

    text: str
    value: Any = None


class Ticked(Struct, frozen=True):
    """Answer of the space bar, with the value under the pointer."""

    value: Any


def width() -> int:
    """Return the number of columns of the terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def height() -> int:
    """Return the number of lines of the terminal."""
    return shutil.get_terminal_size((80, 24)).lines


def fit(text: str, columns: int) -> str:
    """Return a text escaped, shortened in the middle or padded to a number of columns."""
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
    """Return the value of the line that the user picks, or Navigation.BACK for Esc.

    With `ticks`, the space bar returns a Ticked. `keys` maps further letters to values.
    """
    import questionary
    from questionary.prompts.common import InquirerControl

    columns = width() - 4
    choices: list[Any] = [
        questionary.Separator(fit(line.text, columns).rstrip())
        if line.value is None
        else questionary.Choice(fit(line.text, columns).rstrip(), _Opaque(line.value))
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
        # With questionary's colours, the mark stays at the line where the pointer started.
        style=questionary.Style([("selected", ""), ("highlighted", "bold")]),
        **_surroundings(),
    )
    [control] = [
        control
        for control in question.application.layout.find_all_controls()
        if isinstance(control, InquirerControl)
    ]

    def ticked() -> Any:
        pointed: Any = control.get_pointed_at().value
        return Ticked(pointed.value)

    more: dict[str, Callable[[], Any]] = {" ": ticked} if ticks else {}
    more |= {key: partial(_Opaque, value) for key, value in (keys or {}).items()}
    answer = _ask(question, more)
    return answer.value if isinstance(answer, _Opaque) else answer


def ask_text(title: str, default: str = "", hint: str = "") -> Any:
    """Return the line that the user types, or Navigation.BACK."""
    import questionary

    question = questionary.text(
        title, default=default, qmark="?", instruction=hint or None, **_surroundings()
    )
    return _ask(question, {})


def ask_secret(title: str) -> Any:
    """Return the password that the user types, or Navigation.BACK."""
    import questionary

    return _ask(questionary.password(title, qmark="?", **_surroundings()), {})


def confirm(question: str) -> bool:
    """Return the answer to a yes-or-no question; the default is no."""
    lines = [Line("yes", value=True), Line("no, change nothing", value=False)]
    return pick(question, lines, at=False) is True


def notice(text: str) -> None:
    """Show that something takes a moment; the next prompt overwrites the line."""
    print(f"{fit(text, width() - 1)}\r", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class _Opaque:
    """Wrapper of a value, so that questionary does not interpret it."""

    value: Any


def _surroundings() -> dict[str, Any]:
    # On standard error: standard output is for the command's result.
    from prompt_toolkit.output import create_output

    return {"output": create_output(sys.stderr), "erase_when_done": True}


def _ask(question: Question, more: dict[str, Callable[[], Any]]) -> Any:
    """Return the answer to a prompt that has more keys than questionary's."""
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings

    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: Any) -> None:
        event.app.exit(result=Navigation.BACK)

    for key, answer in more.items():

        @keys.add(key, eager=True)
        def _(event: Any, answer: Callable[[], Any] = answer) -> None:
            event.app.exit(result=answer())

    app = question.application
    app.key_bindings = merge_key_bindings([app.key_bindings, keys] if app.key_bindings else [keys])
    app.ttimeoutlen = 0.05  # distinguishes Esc from the start of an arrow key
    return question.unsafe_ask()
