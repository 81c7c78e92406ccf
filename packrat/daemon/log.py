"""What the daemon says while it runs: lines for people, or JSON for programs; no secret in them."""

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
FORMS = ("text", "json")


class Log:
    """Lines on standard error, where the journal and containers look for them."""

    def __init__(self, form: str = "text") -> None:
        """`form` is text or json."""
        self._json = form == "json"

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Mask these from now on; what a command prints, only the job that runs it masks."""
        from specs.secret import SecretFault

        for secret in secrets:
            if secret.form != "command":
                with suppress(SecretFault):
                    secret.resolve()

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
