"""Containment: whatever a destination raises is an error of that destination."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vault.errors import Away, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault.store.base import Store

FOREIGN = ("PanicException", "CancelledError")
"""Exceptions of libraries that are not an Exception: PyO3's panics, a cancelled coroutine's."""


@contextmanager
def contained(destination: Store) -> Iterator[None]:
    """Turn an exception that our code does not expect into Away, naming the destination.

    VaultError passes unchanged, and so does a request to end the program (KeyboardInterrupt and the
    like).
    """
    try:
        yield
    except VaultError:
        raise
    except BaseException as error:
        if not is_foreign(error):
            raise
        raise Away(
            f"destination {destination.name} ({destination.root}): {describe(error)}",
            "try it with: packrat check --connect",
        ) from error


def is_foreign(error: BaseException) -> bool:
    """Return whether an exception is a failure, and not a request to end the program."""
    return isinstance(error, Exception) or type(error).__name__ in FOREIGN


def describe(error: BaseException) -> str:
    """Return a description of an unexpected exception."""
    return f"unexpected {type(error).__name__}: {error}"
