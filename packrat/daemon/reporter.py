"""Notifier of the daemon, for the results of its jobs and for overdue services."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packrat.daemon.unprotected import newly_unprotected, unprotected_text
from packrat.notify.message import message_of, verified_message
from packrat.notify.sender import Message, Ping, Sender
from packrat.runs.status import newest_overdue
from packrat.text.report import bytes_text, count_text, time_text
from specs.faults import ConfigFaults
from specs.salvage import load_readable

if TYPE_CHECKING:
    from collections.abc import Collection

    from packrat.daemon.active_config import ActiveConfig
    from packrat.daemon.jobs import Job, JobResult
    from packrat.daemon.log import Log
    from packrat.runs.history import History
    from specs.config import Outcome
    from specs.discovery.coverage import Covered

LOOK_SECONDS = 300.0
"""Interval between checks for overdue services."""
BROKEN_SECONDS = 10.0
"""Time after which a broken configuration is notified: it may still be being edited."""


class Reporter:
    """Notifier of the daemon, for the results of its jobs and for overdue services."""

    def __init__(self, active: ActiveConfig, history: History, log: Log) -> None:
        self._active, self._history, self._log = active, history, log
        self._sender = Sender(log.warn)
        self._overdue: set[str] = set()
        self._label_faults: tuple[str, ...] = ()
        self._due = 0.0
        self._broken: float | None = None
        """Since when the configuration file has faults."""
        self._broken_notified = False

    def begins(self, job: Job) -> None:
        """Ping the dead man's switch at the start of a backup."""
        if not job.name.startswith("."):
            self._send(Message(ping="start", body=job.name))

    def ended(self, ended: JobResult, following: str) -> None:
        """Log and notify the end of a job; record a failure that it could not record itself.

        `following` is the time of the next run, for the log.
        """
        name = ended.job.name
        self._due = 0.0
        following = f"; next run {following}" if following else ""
        if name.startswith("."):
            self._verified(ended, following)
            return
        document: dict[str, Any] = {"service": name, "status": "failed", "error": ended.fault}
        if ended.document:
            document = ended.document[0]
        else:
            self._history.amend(name, ended.job.instant, time.time(), ended.fault)
        message = message_of(document, self._history, self._active.config)
        good = message.outcome in ("success", "recovery")
        say = self._log.info if good else self._log.error
        say(f"{message.body}{following}", service=name, status=document["status"])
        self._send(message)

    def check_overdue(self, now: float, active: Collection[str]) -> None:
        """Log and notify services whose newest backup has become too old.

        A service that is queued or running is not, as long as only the default `max_age` says so:
        the machine may have been off.
        """
        config = self._active.config
        if now < self._due:
            return
        self._due = now + LOOK_SECONDS
        overdue = newest_overdue(config, self._history, now)
        self._overdue &= overdue.keys()
        for name, newest in overdue.items():
            may_wait = name in active and not config.services[name].max_age
            if name not in self._overdue and not may_wait:
                self._overdue.add(name)
                when = f"its newest backup is of {time_text(newest)}" if newest else None
                text = f"{name}: {when or 'has no backup yet'}"
                self._log.error(text, service=name)
                self._notify("overdue", f"{name} is overdue", text, ping="fail")

    def check_labels(self) -> None:
        """Log each label of a container that is not used, once."""
        faults = self._active.label_faults
        for fault in faults:
            if fault not in self._label_faults:
                self._log.warn(fault)
        self._label_faults = faults

    def check_unprotected(self, groups: Collection[Covered]) -> None:
        """Log and notify once each project or container that keeps data without a backup."""
        config = self._active.config
        if not groups or "unprotected" not in config.notify.on:
            return
        try:
            new = newly_unprotected(config.state_dir, groups)
        except OSError as error:
            self._log.error(f"cannot record which containers are notified: {error}")
            return
        if new:
            names = ", ".join(one.group.name for one in new)
            lines = [unprotected_text(one) for one in new]
            self._log.warn(f"without a backup: {'; '.join(lines)}")
            body = "\n".join([*lines, "packrat discover --write adds what is missing."])
            self._notify("unprotected", f"{names} without a backup", body)

    def check_config(self, now: float) -> None:
        """Notify a configuration file that stays broken, and its repair."""
        faults = self._active.faults
        if not faults:
            if self._broken_notified:
                self._notify("recovery", "the configuration is valid again", self._active.file)
            self._broken, self._broken_notified = None, False
            return
        self._broken = now if self._broken is None else self._broken
        if not self._broken_notified and abs(now - self._broken) >= BROKEN_SECONDS:
            self._broken_notified = True
            body = [*map(str, faults), "The previous configuration stays in use until a restart."]
            self._notify("failure", "the configuration has faults", "\n".join(body))

    def close(self) -> None:
        """Wait briefly until the last messages are sent."""
        self._sender.close(5.0)

    def _verified(self, ended: JobResult, following: str) -> None:
        if ended.document is None:
            self._log.error(f"verification: {ended.fault}")
            self._notify("failure", "verification failed", ended.fault)
            return
        read = sum(row["bytes_read"] for row in ended.document)
        good = sum(row["status"] == "ok" for row in ended.document)
        archives = count_text(len(ended.document), "archive")
        text = f"verification: {good} of {archives} good, {bytes_text(read)} read{following}"
        self._log.info(text)
        if message := verified_message(ended.document, self._active.config.host):
            self._log.error(message.body)
            self._send(message)

    def _notify(self, outcome: Outcome, title: str, body: str, ping: Ping | None = None) -> None:
        title = f"packrat on {self._active.config.host}: {title}"
        self._send(Message(outcome, title, body, ping))

    def _send(self, message: Message) -> None:
        self._sender.send(message, self._active.config)


def notify_unusable(file: str, error: ConfigFaults, log: Log) -> None:
    """Notify that the daemon cannot start, if the broken configuration still says whom."""
    with suppress(ConfigFaults):
        config, _ = load_readable(file)
        sender = Sender(log.warn)
        title = f"packrat on {config.host}: the daemon cannot start"
        sender.send(Message("failure", title, str(error), ping="fail"), config)
        sender.close()
