"""Queue of notifications, which a worker process sends."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from packrat.surroundings import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs.config import Outcome

BATCH_SECONDS = 180.0
"""Longest time for one worker process."""
MOST = 500
"""Longest queue; beyond that the oldest message is dropped."""
BY_HAND_SECONDS = 45.0
"""Longest time that a command waits at its end for its messages."""


class Message(Struct, frozen=True):
    """A message to the notification services, to the dead man's switch, or to both."""

    outcome: Outcome | None = None
    """None for a ping only."""
    title: str = ""
    body: str = ""
    ping: Literal["start", "success", "fail"] | None = None


class Teller:
    """Sender of messages in order: a thread that starts a worker process for each batch."""

    def __init__(
        self,
        config_file: str,
        say: Callable[[str], None],
        env: dict[str, str] | None = None,
        files: tuple[int, ...] = (),
    ) -> None:
        """`say` is called with each message that could not be sent."""
        self.config_file, self.env, self.files = config_file, env or {}, files
        self._say = say
        self._waiting: list[Message] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, message: Message) -> None:
        """Queue a message; return at once."""
        with self._changed:
            self._waiting = [*self._waiting, message][-MOST:]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="teller", daemon=True)
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
            self._tell_all(batch)

    def _tell_all(self, batch: list[Message]) -> None:
        document = {
            "config": os.path.abspath(self.config_file),
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
                pass_fds=self.files,
                env=os.environ | self.env,
            )
        except subprocess.TimeoutExpired:
            self._say(f"not all notified within {BATCH_SECONDS:.0f} s: {batch[-1].title}")
        except OSError as error:
            self._say(f"cannot start the process that sends notifications: {error}")
        else:
            for line in done.stderr.decode(errors="replace").splitlines():
                with suppress(Exception):
                    self._say(line)
