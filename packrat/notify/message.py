"""Messages about runs: their outcome, their text and their ping."""

from __future__ import annotations

from contextlib import closing
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.notify.sender import Message, Sender
from packrat.runs.history import History, PastRun
from packrat.runs.result import Result, upkeep_text
from packrat.text.report import bytes_text, count_text, warn

if TYPE_CHECKING:
    from specs.config import Config, Outcome

FEW = 5
"""Runs that show whether the last one is a recovery: a few may have been interrupted."""
BAD = ("failed", "partial", "killed")


def message_of(document: dict[str, Any], history: History, config: Config) -> Message:
    """Return the message about a backup.

    The first good run after a bad one is a recovery. As long as the last run of another service was
    bad, the ping is a failure, and its text names that service first. A good run that found backups
    missing at a destination is reported like a partial one.
    """
    service, status = document["service"], document["status"]
    title, alarms = f"packrat on {config.host}: {service}", document.get("alarms") or []
    if status != "done":
        body = f"{service}: {document.get('error') or status}"
        outcome: Outcome = "partial" if status == "partial" else "failure"
        body = "\n".join([body, *alarms])
        return Message(outcome, f"{title} {status}", body, ping="fail")
    body = (
        f"{count_text(document['files'], 'file')},"
        f" {bytes_text(document['size'])}; stored {bytes_text(document['stored'])}"
        f" in {document['seconds']:.0f} s{upkeep_text(document)}"
    )
    if bad := _bad_before(history, service):
        kind = "partial run" if {*bad} == {"partial"} else "failed run"
        body = f"works again, after {count_text(len(bad), kind)}; {body}"
    body = f"{service}: {body}"
    if alarms:
        title = f"{title}: backups are missing"
        return Message("partial", title, "\n".join([*alarms, body]), ping="fail")
    others = [
        f"{name}: {past.status}, {past.document.get('error') or 'without a result'}"
        for name, past in _last(history).items()
        if past.status in BAD and name != service and name in config.services
    ]
    return Message(
        "recovery" if bad else "success",
        f"{title} {'works again' if bad else 'is backed up'}",
        body,
        ping="fail" if others else "success",
        ping_body="\n".join([*others, body]),
    )


def _last(history: History) -> dict[str, PastRun]:
    """Return the last run of each service that has ended."""
    return {
        name: ended[0]
        for name, pasts in history.newest().items()
        if (ended := [past for past in pasts if past.status != "running"])
    }


def _bad_before(history: History, service: str) -> list[str]:
    """Return the statuses of the bad runs in a row before the last one, the newest first."""

    def bad(pasts: list[PastRun]) -> list[str]:
        ended = [past.status for past in pasts if past.status not in ("running", "interrupted")]
        return list(takewhile(BAD.__contains__, ended[1:]))

    return bad(history.runs(service, FEW)) and bad(history.runs(service))


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
    what = "damaged or missing" if any(row["status"] == "missing" for row in bad) else "damaged"
    title = f"packrat on {host}: {count_text(len(bad) - unknown, 'archive')} found {what}"
    return Message("failure", title, "\n".join(lines))


class ManualNotifier:
    """Notifier of runs that a person or another scheduler started."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sender = Sender(warn)

    def begins(self, service: str) -> None:
        """Ping the dead man's switch at the start of a backup."""
        self._sender.send(Message(ping="start", body=service), self._config)

    def ended(self, result: Result) -> None:
        """Notify the end of a backup, unless it was locked or interrupted."""
        if result.exit in (Exit.LOCKED, Exit.INTERRUPTED):
            return
        with closing(History(self._config.state_dir)) as history:
            message = message_of(result.document, history, self._config)
            self._sender.send(message, self._config)

    def verified(self, rows: list[dict[str, Any]]) -> None:
        """Notify what a verification has found, and wait until that is sent."""
        if message := verified_message(rows, self._config.host):
            self._sender.send(message, self._config)
            self._sender.close()

    def close(self) -> None:
        """Wait, for a bounded time, until all messages are sent."""
        self._sender.close()


def notifier(config: Config) -> ManualNotifier | None:
    """Return the notifier of manual runs, None if none is configured."""
    return ManualNotifier(config) if config.notify.urls or config.ping else None
