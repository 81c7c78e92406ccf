"""Exclude patterns, as in a .gitignore at the top of the service's folder."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from stages.source.gitignore import rule

if TYPE_CHECKING:
    from collections.abc import Iterable


class Excludes:
    """Matcher for a list of patterns; the last pattern that matches a path decides.

    Paths are relative, with `/` between names; that of a folder ends in `/`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile the patterns; raises ValueError for one that cannot be parsed."""
        found = [(pattern, rule(pattern)) for pattern in patterns]
        rules = [(pattern, said) for pattern, said in found if said]
        self._rules = [
            (said.excludes, _any_of([said.regex]), pattern) for pattern, said in reversed(rules)
        ]
        # One expression for each run of patterns of one sign: one match per path, not many.
        self._groups = [
            (sign, _any_of([said.regex for _, said in run]))
            for sign, run in groupby(rules, key=lambda one: one[1].excludes)
        ][::-1]
        hollow = [said.hollow for _, said in rules if said.hollow]
        negated = not all(said.excludes for _, said in rules)
        self._hollow = _any_of(hollow) if hollow and not negated else None

    def excludes(self, path: str) -> bool:
        """Return whether a path is excluded, given that its parents are not."""
        for sign, group in self._groups:  # not a generator: it costs more than the match
            if group.match(path):
                return bool(sign)
        return False

    def excludes_all_below(self, folder: str) -> bool:
        """Return whether everything in a folder is excluded, so that it need not be listed."""
        return self._hollow is not None and self._hollow.match(folder + "/") is not None

    def why(self, path: str) -> tuple[str, str] | None:
        """Return (path or a folder above it, pattern) that excludes or includes a path.

        None if no pattern matches it or a folder above it.
        """
        names = path.rstrip("/").split("/")
        said = None
        for depth in range(1, len(names) + 1):
            part = "/".join(names[:depth])
            part += "/" if depth < len(names) or path.endswith("/") else ""
            for sign, regex, pattern in self._rules:
                if regex.match(part):
                    said = (part, pattern)
                    if sign:
                        return said
                    break
        return said


def _any_of(expressions: list[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(f'(?:{one})' for one in expressions)})\Z", re.DOTALL)
