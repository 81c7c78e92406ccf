"""Messages about runs: their outcome, their text and their ping."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.notify.sender import Message, Sender
from packrat.runs.history import History
from packrat.text.report import bytes_text, count_text, warn

if TYPE_CHECKING:
    from packrat.runs.history import PastRun
    from packrat.runs.result import Result
    from specs.config import Config, Outcome

BAD = ("failed", "partial", "killed")


def message_of(document: dict[str, Any], history: History, config: Config) -> Message:
    """Return the message about a backup.

    The first good run after a bad one is a recovery. As long as the last run of another service was
    bad, the ping is a failure.
    """
    service, status = document["service"], document["status"]
    title = f"packrat on {config.host}: {service} {'is backed up' if status == 'done' else status}"
    if status == "done":
        body = (
            f"{service}: {count_text(document['files'], 'file')},"
            f" {bytes_text(document['size'])}; stored {bytes_text(document['stored'])}"
            f" in {document['seconds']:.0f} s"
        )
        ended = {name: _ended(pasts) for name, pasts in history.newest().items()}
        recovers = len(ended.get(service, [])) > 1 and ended[service][1] in BAD
        others = any(
            statuses[:1] and statuses[0] in BAD
            for name, statuses in ended.items()
            if name != service and name in config.services
        )
        outcome: Outcome = "recovery" if recovers else "success"
        return Message(outcome, title, body, ping="fail" if others else "success")
    body = f"{service}: {document.get('error') or status}"
    return Message("partial" if status == "partial" else "failure", title, body, ping="fail")


def _ended(pasts: list[PastRun]) -> list[str]:
    return [past.status for past in pasts if past.status != "running"]


def verified_message(document: list[dict[str, Any]], host: str) -> Message | None:
    """Return the message about a verification, None if everything is good."""
    bad = [row for row in document if row["status"] != "ok"]
    if not bad:
        return None
    lines = [
        f"{row['service']} {row['id']} at {row['destination']}: {'; '.join(row['problems'])}"
        for row in bad
    ]
    unknown = sum(row["status"] == "unreadable" for row in bad)
    if unknown == len(bad):
        title = f"packrat on {host}: {count_text(unknown, 'archive')} could not be verified"
        return Message("partial", title, "\n".join(lines))
    title = f"packrat on {host}: {count_text(len(bad) - unknown, 'archive')} found damaged"
    return Message("failure", title, "\n".join(lines))


class ManualNotifier:
    """Notifier of runs that a person or another scheduler started."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sender = Sender(config, warn)

    def begins(self, service: str) -> None:
        """Ping the dead man's switch at the start of a backup."""
        if self._config.ping:
            self._sender.send(Message(ping="start", body=service))

    def ended(self, result: Result) -> None:
        """Notify the end of a backup, unless it was locked or interrupted."""
        if result.exit in (Exit.LOCKED, Exit.INTERRUPTED):
            return
        with closing(History(self._config.state_dir)) as history:
            self._sender.send(message_of(result.document, history, self._config))

    def close(self) -> None:
        """Wait, for a bounded time, until all messages are sent."""
        self._sender.close()


def notifier(config: Config) -> ManualNotifier | None:
    """Return the notifier of manual runs, None if none is configured."""
    return ManualNotifier(config) if config.notify.urls or config.ping else None
