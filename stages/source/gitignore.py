"""Translation of one .gitignore line into a regular expression for one path.

pathspec's expressions also match what is below a match. A walk does not enter excluded folders, so
these match the path itself only: otherwise `!` would include what another pattern excludes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple


class Rule(NamedTuple):
    """One pattern; both expressions are for paths in which a folder ends in `/`."""

    excludes: bool
    regex: str
    hollow: str | None
    """Matches the folders whose whole content it names: x of `x/*` and `x/**`."""


@lru_cache(maxsize=1024)
def rule(pattern: str) -> Rule | None:
    """Translate a line; None if it is blank or a comment, ValueError if it cannot be parsed."""
    line = re.sub(r"(?<!\\)((?:\\\\)*) +$", r"\1", pattern)
    if not line or line.startswith("#"):
        return None
    body = line.removeprefix("!")
    folder = body.endswith("/")
    if body.strip("/") == "":
        return None
    regex = _anchored(body[:-1] if folder else body) + "(?<!/)"  # no name is empty
    stem, slash, last = body.rpartition("/")
    hollow = f"{_anchored(f'/{stem}' if '/' not in stem else stem)}/" if stem and slash else None
    return Rule(
        body == line,
        f"{regex}/" if folder else f"{regex}/?",
        hollow if last in ("*", "**") else None,
    )


def _anchored(body: str) -> str:
    """Translate a pattern: with a slash it matches from the top on, without one at any depth."""
    above = "" if "/" in body else "(?:.*/)?"
    return above + _glob(body.removeprefix("/"))


def _glob(body: str) -> str:
    parts = []
    at = 0
    while at < len(body):
        letter = body[at]
        if found := re.compile(r"\*\*+(/|$)").match(body, at) if _starts(body, at) else None:
            parts.append("(?:.*/)?" if found[1] else ".+")
            at = found.end()
        elif letter == "*":
            parts.append("[^/]*")
            at = re.compile(r"\*+").match(body, at).end()  # type: ignore[union-attr]
        elif letter == "[":
            part, at = _bracket(body, at + 1)
            parts.append(part)
        else:
            if letter == "\\":
                at += 1
                if at == len(body):
                    raise ValueError(f"{body} ends in a backslash")
            parts.append("[^/]" if letter == "?" else re.escape(body[at]))
            at += 1
    return "".join(parts)


def _starts(body: str, at: int) -> bool:
    return at == 0 or body[at - 1] == "/"


def _bracket(body: str, at: int) -> tuple[str, int]:
    """Translate `[…]` after its bracket; return the expression and its end. It matches no slash."""
    sign = "^" if body[at : at + 1] in ("!", "^") else ""
    start = at = at + len(sign)
    items = []
    before = ""
    while at < len(body) and (body[at] != "]" or at == start):
        if body[at] == "-" and before and body[at + 1 : at + 2] not in ("", "]"):
            last, at = _letter(body, at + 1)
            if before <= last:  # otherwise it is an empty range
                items.append(f"{re.escape(before)}-{re.escape(last)}")
            before = ""
        else:
            before, at = _letter(body, at)
            items.append(re.escape(before))
    if at >= len(body):
        raise ValueError(f"{body} has a [ without a ]")
    return f"(?!/)[{sign}{''.join(items)}]", at + 1


def _letter(body: str, at: int) -> tuple[str, int]:
    if body[at] == "\\":
        at += 1
    return body[at : at + 1], at + 1
