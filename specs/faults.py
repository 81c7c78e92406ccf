"""Faults in a file of the user's, with their place and what to write instead."""

from collections.abc import Iterable

from msgspec import Struct


class Fault(Struct, frozen=True, order=True):
    """One mistake, at one place of one file.

    Attributes:
        file: The file as the user named it.
        line: 1-based; 0 where the file as a whole is meant.
        column: 1-based.
        where: The dotted path, such as ``services.gitea.exclude[2]``; empty for the file.
        message: What is wrong. Never the value of a secret.
        hint: What to write instead; may be empty.
    """

    file: str
    line: int
    column: int
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Render as one line: ``FILE:LINE:COL: WHERE: what is wrong; what to write instead``."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [place, self.where, self.message]
        text = ": ".join(part for part in parts if part)
        return printable(f"{text}; {self.hint}" if self.hint else text)


class ConfigFaults(Exception):  # noqa: N818 - a list of faults, not one error
    """A file that cannot be used, with every fault found in it, in the order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


def printable(text: str) -> str:
    """Escape what would break a line, or a terminal: keys and file names are anybody's bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
