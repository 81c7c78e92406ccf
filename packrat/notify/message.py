"""Messages about runs: their outcome, their text and their ping."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.notify.sender import Message, Teller
from packrat.runs.history import History, document_of
from packrat.text.report import bytes_text, count_text, time_text, warn
from packrat.verbs.status import newest_overdue

if TYPE_CHECKING:
    from packrat.daemon.active_config import InForce
    from packrat.daemon.jobs import Ended, Job
    from packrat.daemon.log import Log
    from packrat.program import Program
    from packrat.runs.result import Result
    from specs.config import Config

BAD = ("failed", "partial", "killed")
LOOK_SECONDS = 300.0


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


class Reporter:
    """Notifier of the daemon, for the results of its jobs and for overdue services."""

    def __init__(self, inforce: InForce, history: History, log: Log) -> None:
        self._inforce, self._history, self._log = inforce, history, log
        self._teller = Teller(inforce.file, log.warn)
        self._overdue: set[str] = set()
        self._due = 0.0

    def begins(self, job: Job) -> None:
        """Ping the dead man's switch at the start of a backup."""
        if not job.name.startswith("."):
            self._tell(Message(ping="start", body=job.name))

    def ended(self, ended: Ended) -> None:
        """Log and notify the end of a job; record a failure that it could not record itself."""
        name, config = ended.job.name, self._inforce.config
        if name.startswith("."):
            self._verified(ended)
            return
        document: dict[str, Any] = {"service": name, "status": "failed", "error": ended.fault}
        if ended.in_order and ended.document:
            document = ended.document[0]
        else:
            self._history.amend(name, ended.job.instant, time.time(), ended.fault)
        message = message_of(
            document,
            status_before(self._history, name),
            config.host,
            others_bad(self._history, config, name),
        )
        say = self._log.info if document["status"] == "done" else self._log.error
        say(message.body, service=name, status=document["status"])
        self._tell(message)

    def look(self, now: float) -> None:
        """Log and notify services whose newest backup has become too old."""
        config = self._inforce.config
        if now < self._due or not any(s.max_age for s in config.services.values()):
            return
        self._due = now + LOOK_SECONDS
        overdue = newest_overdue(config, self._history, now)
        for name, newest in overdue.items():
            if name not in self._overdue:
                when = f"its newest backup is of {time_text(newest)}" if newest else None
                text = f"{name}: {when or 'has no backup yet'}"
                self._log.error(text, service=name)
                title = f"packrat on {config.host}: {name} is overdue"
                self._tell(Message("overdue", title, text, ping="fail"))
        self._overdue = set(overdue)

    def close(self) -> None:
        """Wait briefly until the last messages are sent."""
        self._teller.close(5.0)

    def _verified(self, ended: Ended) -> None:
        if not ended.in_order or ended.document is None:
            self._log.error(f"verification: {ended.fault}")
            title = f"packrat on {self._inforce.config.host}: verification failed"
            self._tell(Message("failure", title, ended.fault))
            return
        read = sum(row["bytes_read"] for row in ended.document)
        good = sum(row["status"] == "ok" for row in ended.document)
        archives = count_text(len(ended.document), "archive")
        self._log.info(f"verification: {good} of {archives} good, {bytes_text(read)} read")
        if message := verified_message(ended.document, self._inforce.config.host):
            self._log.error(message.body)
            self._tell(message)

    def _tell(self, message: Message) -> None:
        config = self._inforce.config
        if config.ping or config.notify.urls:
            self._teller.env, self._teller.files = self._inforce.env, self._inforce.files
            self._teller.tell(message)


class ByHand:
    """Notifier of runs that a person or another scheduler started."""

    def __init__(self, program: Program) -> None:
        self._config = program.config
        self._teller = Teller(program.file, warn)

    def begins(self, service: str) -> None:
        """Ping the dead man's switch at the start of a backup."""
        if self._config.ping:
            self._teller.tell(Message(ping="start", body=service))

    def ended(self, result: Result) -> None:
        """Notify the end of a backup, unless it was locked or interrupted."""
        if result.exit in (Exit.LOCKED, Exit.INTERRUPTED):
            return
        if self._config.ping or self._config.notify.urls:
            with closing(History(self._config.state_dir)) as history:
                before = status_before(history, result.service)
                others = others_bad(history, self._config, result.service)
            document = document_of(result)
            self._teller.tell(message_of(document, before, self._config.host, others))

    def close(self) -> None:
        """Wait, for a bounded time, until all messages are sent."""
        self._teller.close()
