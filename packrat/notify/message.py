"""Messages about runs: their outcome, their text and their ping."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.notify.sender import Message, Sender
from packrat.runs.history import History
from packrat.text.report import bytes_text, count_text, warn

if TYPE_CHECKING:
    from packrat.runs.result import Result
    from specs.config import Config

BAD = ("failed", "partial", "killed")


def message_of(
    document: dict[str, Any], before: str | None, host: str, others: list[str]
) -> Message:
    """Return the message about a backup.

    `before` is the status of the run before it; `others` are services whose last run failed. As
    long as there are any, the ping is a failure.
    """
    service, status = document["service"], document["status"]
    title = f"packrat on {host}: {service} {'is backed up' if status == 'done' else status}"
    if status == "done":
        body = (
            f"{service}: {count_text(document['files'], 'file')},"
            f" {bytes_text(document['size'])}; stored {bytes_text(document['stored'])}"
            f" in {document['seconds']:.0f} s"
        )
        if others:
            return Message(_good(before), title, body, ping="fail")
        return Message(_good(before), title, body, ping="success")
    body = f"{service}: {document.get('error') or status}"
    return Message("partial" if status == "partial" else "failure", title, body, ping="fail")


def _good(before: str | None) -> Any:
    return "recovery" if before in BAD else "success"


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


def others_bad(history: History, config: Config, service: str) -> list[str]:
    """Return the other services whose last run failed."""
    found = []
    for name, pasts in history.newest().items():
        ended = [past for past in pasts if past.status != "running"]
        if name != service and name in config.services and ended and ended[0].status in BAD:
            found.append(name)
    return found


def status_before(history: History, service: str) -> str | None:
    """Return the status of the run before the last one."""
    ended = [p for p in history.newest().get(service, []) if p.status != "running"]
    return ended[1].status if len(ended) > 1 else None


class ByHand:
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
            before = status_before(history, result.service)
            others = others_bad(history, self._config, result.service)
        self._sender.send(message_of(result.document, before, self._config.host, others))

    def close(self) -> None:
        """Wait, for a bounded time, until all messages are sent."""
        self._sender.close()


def notifier(config: Config) -> ByHand | None:
    """Return the notifier of manual runs, None if none is configured."""
    return ByHand(config) if config.notify.urls or config.ping else None
