"""Translation of the exceptions of libraries, with one table for each library.

A table's keys are the qualified names of exception classes, so no library is imported for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from vault.errors import Away, Retryable, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vault.store.base import Store

REFUSED = "packrat's user needs to write there"
FULL = "make room there; what was stored before is untouched"


class Fault(Struct, frozen=True):
    """Meaning of an exception."""

    why: str = "{error}"
    """The cause. `{error}` is the text of the library, `{server}` is the server."""
    hint: str = "try it with: packrat check --connect"
    retry: bool = False
    """Another attempt may succeed."""
    silent: bool = False
    """No answer arrived within the time limit."""
    missing: bool = False
    """The file does not exist."""


Table = dict[str, Fault]


def qualified(kind: type) -> str:
    """Return the name under which a class is in a table."""
    return f"{kind.__module__}.{kind.__qualname__}"


def lookup(error: BaseException, table: Mapping[str, Fault]) -> tuple[BaseException, Fault]:
    """Return the best match in the table for an error and its causes.

    The exception that a library raised itself is preferred to one that another library made of it.
    """
    found: tuple[BaseException, Fault] | None = None
    for cause in _causes(error):
        for kind in type(cause).__mro__:
            if fault := table.get(name := qualified(kind)):
                if not name.startswith("builtins."):
                    return cause, fault
                found = found or (cause, fault)
                break
    return found or (error, Fault("{kind}: {error}"))


def translate(
    store: Store, action: str, error: BaseException, fault: Fault, server: str = ""
) -> VaultError:
    """Return the error that a store raises."""
    said = str(error) or type(error).__name__
    words = {"error": said[:MOST_CHARACTERS], "kind": type(error).__name__, "server": server}
    hint = fault.hint.format(**words)
    if fault.missing:
        return store.absent(action, hint)
    made = store.fault(action, fault.why.format(**words), hint, Retryable if fault.retry else Away)
    if isinstance(made, Retryable):
        made.silent = fault.silent
    return made


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


MOST_CAUSES = 8
MOST_CHARACTERS = 300
"""Longest text of a server that a message repeats."""
