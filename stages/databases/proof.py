"""Outcomes of a proof that a stored dump can be read, other than success."""

from __future__ import annotations

from stages.errors import SourceError


class UnsoundDump(SourceError):  # noqa: N818 (a finding)
    """The engine's own program cannot read the dump."""


class NotProven(SourceError):  # noqa: N818
    """The program on this machine could not judge the dump."""


class NoProgram(NotProven):
    """There is no program on this machine that could judge any dump of the engine."""
