"""Exit statuses, and the translation of every error to a message and a status."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TYPE_CHECKING

from stages.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable


class Exit(IntEnum):
    """Exit statuses of the command line; scripts rely on them."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIG = 3
    FAILED = 4
    PARTIAL = 5
    LOCKED = 6
    KEY = 7
    INTERRUPTED = 130


class UsageError(Exception):
    """A command line that cannot be carried out."""


class Unusable(Exception):  # noqa: N818 (an adjective)
    """A part of packrat's own, such as its state folder, that cannot be used; `hint` is advice."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Locked(Exception):  # noqa: N818 (not an error)
    """A service whose lock is held by another run."""


INTERRUPTED = "interrupted; the next packrat command repairs what is left unfinished"


class Interrupted(Exception):  # noqa: N818 (not an error)
    """Ctrl-C with a message about its effect."""


def explain(error: BaseException) -> tuple[Exit, str]:
    """Return the exit status and the message of an error, with secrets masked."""
    status, message = _explain(error)
    return status, masked(message)


def _explain(error: BaseException) -> tuple[Exit, str]:  # noqa: PLR0911 (a table)
    from engine.graph import GraphFaults
    from engine.run import Cancelled
    from specs.faults import ConfigFaults
    from specs.secret import SecretFault
    from stages.errors import SourceError
    from stages.foreign import UnusableKind
    from vault.errors import KeyFileError, VaultError, WrongKey

    match error:
        case Interrupted():
            return Exit.INTERRUPTED, str(error)
        case KeyboardInterrupt() | Cancelled():
            return Exit.INTERRUPTED, INTERRUPTED
        case UsageError():
            return Exit.USAGE, str(error)
        case ConfigFaults():
            return Exit.CONFIG, "\n".join(map(str, error.faults))
        case GraphFaults():
            return Exit.CONFIG, "\n".join(f"pipeline: {fault}" for fault in error.faults)
        case SecretFault():
            return Exit.CONFIG, str(error)
        case UnusableKind():
            return Exit.CONFIG, _with_hint(error)
        case Locked():
            return Exit.LOCKED, str(error)
        case WrongKey() | KeyFileError():
            return Exit.KEY, _with_hint(error)
        case VaultError() | SourceError() | Unusable():
            return Exit.FAILED, _with_hint(error)
        case OSError() if error.strerror:
            named = isinstance(error.filename, str | bytes)
            where = f"{os.fsdecode(error.filename)}: " if named else ""
            return Exit.FAILED, f"{where}{error.strerror}"
        case OSError() | MemoryError():
            return Exit.FAILED, str(error) or "out of memory"
        case _:
            text = f"unexpected {type(error).__name__}: {error}"
            return Exit.UNEXPECTED, f"{text}; please report what PACKRAT_DEBUG=1 makes it print"


def worst(exits: Iterable[Exit]) -> Exit:
    """Return the gravest status of several runs."""
    gravity = [
        Exit.DONE,
        Exit.PARTIAL,
        Exit.LOCKED,
        Exit.FAILED,
        Exit.USAGE,
        Exit.CONFIG,
        Exit.KEY,
        Exit.UNEXPECTED,
        Exit.INTERRUPTED,
    ]
    return max(exits, key=gravity.index, default=Exit.DONE)


def _with_hint(error: BaseException) -> str:
    hint = getattr(error, "hint", "")
    return f"{error}; {hint}" if hint else str(error)
