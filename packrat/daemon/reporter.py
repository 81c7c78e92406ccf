"""Notifier of the daemon, for the results of its jobs and for overdue services."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from packrat.notify.message import message_of, verified_message
from packrat.notify.sender import Message, Sender
from packrat.runs.status import newest_overdue
from packrat.text.report import bytes_text, count_text, time_text

if TYPE_CHECKING:
    from packrat.daemon.active_config import ActiveConfig
    from packrat.daemon.jobs import Job, JobResult
    from packrat.daemon.log import Log
    from packrat.runs.history import History

LOOK_SECONDS = 300.0
"""Interval between checks for overdue services."""


class Reporter:
    """Notifier of the daemon, for the results of its jobs and for overdue services."""

    def __init__(self, active: ActiveConfig, history: History, log: Log) -> None:
        self._active, self._history, self._log = active, history, log
        self._sender = Sender(active.config, log.warn)
        self._overdue: set[str] = set()
        self._due = 0.0

    def begins(self, job: Job) -> None:
        """Ping the dead man's switch at the start of a backup."""
        if not job.name.startswith("."):
            self._send(Message(ping="start", body=job.name))

    def ended(self, ended: JobResult) -> None:
        """Log and notify the end of a job; record a failure that it could not record itself."""
        name = ended.job.name
        if name.startswith("."):
            self._verified(ended)
            return
        document: dict[str, Any] = {"service": name, "status": "failed", "error": ended.fault}
        if ended.in_order and ended.document:
            document = ended.document[0]
        else:
            self._history.amend(name, ended.job.instant, time.time(), ended.fault)
        message = message_of(document, self._history, self._active.config)
        say = self._log.info if document["status"] == "done" else self._log.error
        say(message.body, service=name, status=document["status"])
        self._send(message)

    def check_overdue(self, now: float) -> None:
        """Log and notify services whose newest backup has become too old."""
        config = self._active.config
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
                self._send(Message("overdue", title, text, ping="fail"))
        self._overdue = set(overdue)

    def close(self) -> None:
        """Wait briefly until the last messages are sent."""
        self._sender.close(5.0)

    def _verified(self, ended: JobResult) -> None:
        if not ended.in_order or ended.document is None:
            self._log.error(f"verification: {ended.fault}")
            title = f"packrat on {self._active.config.host}: verification failed"
            self._send(Message("failure", title, ended.fault))
            return
        read = sum(row["bytes_read"] for row in ended.document)
        good = sum(row["status"] == "ok" for row in ended.document)
        archives = count_text(len(ended.document), "archive")
        self._log.info(f"verification: {good} of {archives} good, {bytes_text(read)} read")
        if message := verified_message(ended.document, self._active.config.host):
            self._log.error(message.body)
            self._send(message)

    def _send(self, message: Message) -> None:
        self._sender.config = self._active.config
        self._sender.send(message)
