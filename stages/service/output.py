"""Output of a command: bounded in memory and in the log, with secrets masked."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stages.masking import hidden

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_LINES = 5
LINE_BYTES = 8192
"""Longest line that is kept whole."""
LINE_SHOWN = 300
LOG_BYTES = 16 << 20
"""Most bytes of one command in a log."""


class Output:
    """Output of a command: much of it in a log, the last lines for an error, without secrets."""

    def __init__(self, log: str | None, what: str, secrets: Iterable[str]) -> None:
        """Append to the file `log`; mask `secrets`, however short, and all hidden texts."""
        # The longest first: one may be part of another.
        every = {s.encode() for s in (*secrets, *hidden()) if s}
        self._secrets = sorted(every, key=len, reverse=True)
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._begun = b""
        self._left = LOG_BYTES
        self._log = _opened(log)
        self._note(what)

    @property
    def last(self) -> str:
        """The last lines, formatted to continue a sentence."""
        return f"; it said: {' | '.join(self._lines)}" if self._lines else ""

    def add(self, piece: bytes) -> None:
        """Add printed bytes, whole lines at a time: a secret must not be split in two."""
        lines, end, self._begun = (self._begun + piece).rpartition(b"\n")
        if end:
            self._take(lines)
        if len(self._begun) > LINE_BYTES:
            # Mask before cutting; the rest of a secret at the end is in the part that is cut off.
            self._begun = self._masked(self._begun)[: LINE_BYTES // 2]

    def close(self, end: str = "ended") -> None:
        """Add the last line, which may lack its line end, and note how the command ended."""
        if self._begun:
            self._take(self._begun)
        self._note(end)
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _note(self, text: str) -> None:
        """Write a line of packrat's own, with the time, whatever was logged before."""
        now = datetime.now(UTC).astimezone()
        self._append(f"--- {now:%Y-%m-%d %H:%M:%S} {text}\n".encode())

    def _take(self, lines: bytes) -> None:
        lines = self._masked(lines)
        for line in lines[-LINE_BYTES:].decode(errors="replace").split("\n")[-LAST_LINES:]:
            if line.strip():
                self._lines.append(line.strip()[-LINE_SHOWN:])
        self._write(lines + b"\n")

    def _masked(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, b"***")
        return text

    def _write(self, text: bytes) -> None:
        if self._left > 0:
            self._left -= len(text)
            self._append(text if self._left > 0 else b"--- more was printed\n")

    def _append(self, text: bytes) -> None:
        if self._log is not None:
            with suppress(OSError):  # a full disk must not prevent a backup
                os.write(self._log, text)


def _opened(log: str | None) -> int | None:
    if log is None:
        return None
    try:
        os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
