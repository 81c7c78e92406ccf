"""No secret in what is said: every text that a secret of this process has turned out to be.

Whoever finds a secret hides it here; whoever says something, to a person, a log or the history,
says it masked. So it does not matter how a secret came into a sentence, such as by an error of a
library or by what a command printed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST = 4
"""A shorter secret would mask half of a line."""
MASK = "***"
_lock = threading.Lock()
_hidden: tuple[str, ...] = ()
_open: frozenset[str] = frozenset()


def hide(secret: str) -> str:
    """Mask a text from now on, and each line of it; gives it back."""
    global _hidden  # noqa: PLW0603 (a process has one log)
    new = {text for text in (secret, *secret.splitlines()) if len(text.strip()) >= LEAST}
    with _lock:
        if not new <= set(_hidden):
            # The longest first: one may be part of another.
            _hidden = tuple(sorted(new | set(_hidden), key=len, reverse=True))
    return secret


def spare(words: Iterable[str]) -> None:
    """Name what the configuration shows openly: it is no secret, though a value may be the same."""
    global _open  # noqa: PLW0603
    with _lock:
        _open |= frozenset(words)


def hidden() -> tuple[str, ...]:
    """Give what is to be masked, the longest first."""
    return tuple(text for text in _hidden if text not in _open)


def masked(text: str) -> str:
    """Give a sentence without the secrets in it."""
    for secret in hidden():
        text = text.replace(secret, MASK)
    return text
