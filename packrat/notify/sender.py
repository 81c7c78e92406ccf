"""Queue of notifications, which a worker process sends."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from packrat.surroundings import PYTHON
from specs.load import literals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from specs.config import Config, Outcome

BATCH_SECONDS = 180.0
"""Longest time for one worker process."""
MOST = 500
"""Longest queue; beyond that the oldest message is dropped."""
BY_HAND_SECONDS = 45.0
"""Longest time that a command waits at its end for its messages."""


Ping = Literal["start", "success", "fail"]


class Message(Struct, frozen=True):
    """A message to the notification services, to the dead man's switch, or to both."""

    outcome: Outcome | None = None
    """None for a ping only."""
    title: str = ""
    body: str = ""
    ping: Ping | None = None
    ping_body: str = ""
    """Text of the ping, if it differs from the body."""

    def is_requested(self, on: Collection[str]) -> bool:
        """Return whether notification services want it that are notified of the outcomes `on`."""
        return self.outcome in on or (self.outcome == "recovery" and "success" in on)


class Sender:
    """Sender of messages in order: a thread that starts a worker process for each batch."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """`warn` is called for each message that could not be sent."""
        self._warn = warn
        self._waiting: list[tuple[Config, Message]] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, message: Message, config: Config) -> None:
        """Queue a message for the recipients of a configuration, if any; return at once."""
        notify = config.notify
        if not (message.ping and config.ping) and not (
            notify.urls and message.is_requested(notify.on)
        ):
            return  # a worker is a process
        with self._changed:
            self._waiting = [*self._waiting, (config, message)][-MOST:]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, patience: float = BY_HAND_SECONDS) -> None:
        """Wait up to `patience` seconds until all messages are sent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join(patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                batch, self._waiting = self._waiting, []
            if not batch:
                return
            for _, some in groupby(batch, lambda one: id(one[0])):
                configs, messages = zip(*some, strict=True)
                self._send_batch(configs[0], messages)

    def _send_batch(self, config: Config, batch: Sequence[Message]) -> None:
        document = {
            "notify": config.notify.model_dump(mode="json"),
            "ping": config.ping and config.ping.reference(),
            "literals": literals_of(config),
            "unmasked": config.shown_words(),
            "messages": [structs.asdict(one) for one in batch],
        }
        try:
            done = subprocess.run(  # noqa: S603 (our own program)
                [*PYTHON, "-m", "packrat.notify.worker"],
                cwd="/",
                input=json.dumps(document).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=BATCH_SECONDS,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            self._warn(f"not all notified within {BATCH_SECONDS:.0f} s: {batch[-1].title}")
        except OSError as error:
            self._warn(f"cannot start the process that sends notifications: {error}")
        else:
            for line in done.stderr.decode(errors="replace").splitlines():
                with suppress(Exception):
                    self._warn(line)
