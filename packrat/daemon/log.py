"""Log of the daemon: lines for people or JSON for programs, with secrets masked."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from specs.faults import printable
from stages.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from specs.secret import Secret

Level = Literal["info", "warning", "error"]


class Log:
    """Log on standard error, which the journal and container engines collect."""

    def __init__(self, form: str = "text") -> None:
        """`form` is text or json."""
        self._json = form == "json"

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Mask these from now on. A secret from a command is masked by the job that runs it."""
        from specs.secret import SecretFault

        for secret in secrets:
            if secret.form != "command":
                with suppress(SecretFault):
                    secret.resolve()

    def info(self, text: str, **fields: Any) -> None:
        """Log an event."""
        self._say("info", text, fields)

    def warn(self, text: str, **fields: Any) -> None:
        """Log a problem that needs attention."""
        self._say("warning", text, fields)

    def error(self, text: str, **fields: Any) -> None:
        """Log a failure."""
        self._say("error", text, fields)

    def _say(self, level: Level, text: str, fields: dict[str, Any]) -> None:
        text = masked(text)
        now = datetime.now(UTC).astimezone()
        if self._json:
            line = json.dumps(
                {"time": now.isoformat(timespec="milliseconds"), "level": level, "text": text}
                | fields,
                ensure_ascii=True,
            )
        else:
            # The journal has a clock of its own.
            when = "" if "JOURNAL_STREAM" in os.environ else f"{now:%Y-%m-%d %H:%M:%S} "
            line = f"{when}{'' if level == 'info' else level + ': '}{printable(text)}"
        print(line, file=sys.stderr, flush=True)
