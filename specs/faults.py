"""Faults in a file that the user wrote, with position and correction."""

from collections.abc import Iterable

from msgspec import Struct


class Fault(Struct, frozen=True, order=True):
    """One mistake at one position of a file.

    Attributes:
        file: The file as the user named it.
        line: 1-based; 0 for the file as a whole.
        column: 1-based.
        where: The dotted path, such as ``services.gitea.exclude[2]``; empty for the file.
        message: The mistake; never contains the value of a secret.
        hint: The correction; may be empty.
    """

    file: str
    line: int
    column: int
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Render as one line: ``FILE:LINE:COL: WHERE: MESSAGE; HINT``."""
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
    """Escape characters that break a line or control a terminal: names are untrusted."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
