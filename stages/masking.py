"""Masking of secrets in messages.

Every secret that this process has resolved is remembered here, and masked in every message for a
person, a log or the history. So it does not matter how a secret got into a message, for example
through the error of a library or the output of a command.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST = 4
"""Characters; masking a shorter secret would hide half of a line."""
MASK = "***"
_lock = threading.Lock()
_hidden: tuple[str, ...] = ()
_open: frozenset[str] = frozenset()


def hide(secret: str) -> str:
    """Mask a text, and each line of it, from now on. Return the text."""
    global _hidden  # noqa: PLW0603 (a process has one log)
    new = {text for text in (secret, *secret.splitlines()) if len(text.strip()) >= LEAST}
    with _lock:
        if not new <= set(_hidden):
            # The longest first: one may be part of another.
            _hidden = tuple(sorted(new | set(_hidden), key=len, reverse=True))
    return secret


def never_mask(words: Iterable[str]) -> None:
    """Exempt words that the configuration shows openly, even if a secret has the same text."""
    global _open  # noqa: PLW0603
    with _lock:
        _open |= frozenset(words)


def hidden() -> tuple[str, ...]:
    """Return the texts to mask, the longest first."""
    return tuple(text for text in _hidden if text not in _open)


def masked(text: str) -> str:
    """Return a text with its secrets masked."""
    for secret in hidden():
        text = text.replace(secret, MASK)
    return text
