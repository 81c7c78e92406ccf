"""What the daemon says while it runs: lines for people, or JSON for programs; no secret in them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from specs.secret import Secret

Level = Literal["info", "warning", "error"]
FORMS = ("text", "json")
LEAST = 4
"""A shorter secret would mask half of a line."""


class Log:
    """Lines on standard error, where the journal and containers look for them."""

    def __init__(self, form: str = "text") -> None:
        """`form` is text or json."""
        self._json = form == "json"
        self._hidden: list[str] = []

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Mask these from now on; what a command would print is not asked for."""
        from specs.secret import SecretFault

        for secret in secrets:
            with suppress(SecretFault):
                text = secret.resolve() if secret.form != "command" else ""
                if len(text) >= LEAST and text not in self._hidden:
                    self._hidden.append(text)

    def info(self, text: str, **fields: Any) -> None:
        """Say what happens."""
        self._say("info", text, fields)

    def warn(self, text: str, **fields: Any) -> None:
        """Say what somebody should look at."""
        self._say("warning", text, fields)

    def error(self, text: str, **fields: Any) -> None:
        """Say what failed."""
        self._say("error", text, fields)

    def _say(self, level: Level, text: str, fields: dict[str, Any]) -> None:
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
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
