"""Watch of the daemon over Docker's containers, by the events of the engine."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from specs.discovery.coverage import Covered, coverage
from specs.discovery.label_record import use_labels
from stages.errors import SourceError
from stages.service.docker import DockerEngine
from stages.service.inventory import Inventory, read_inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs.config import Config
    from specs.discovery.labelled import Labelled

EVENTS = {"type": ["container"], "event": ["create", "destroy", "rename"]}
QUIET_SECONDS = 2.0
"""Time after an event: `docker compose up` creates several containers."""
PAUSE_SECONDS = 60.0
"""Longest wait before the next attempt to reach the engine."""


class Looked(Struct, frozen=True):
    """Containers at one time, compared with a configuration."""

    written: Config
    """The configuration without what labels add."""
    inventory: Inventory | None
    """None if the engine does not answer."""
    labelled: Labelled
    covered: tuple[Covered, ...]
    """Empty without an inventory."""


class DockerWatch:
    """Two threads: one listens to the engine, one looks at the containers after each event.

    Threads, because folders of containers may be on a server that does not answer.
    """

    def __init__(self, written: Callable[[], Config], found: Callable[[Looked], None]) -> None:
        """`written` returns the present configuration; `found` is called in the event loop."""
        self._written, self._found = written, found
        self._asked = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def look(self) -> None:
        """Look at the containers now, and from now on after each event."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for work in (self._listen, self._look_when_asked):
                threading.Thread(target=work, name="docker", daemon=True).start()
        self._asked.set()

    def _listen(self) -> None:
        """Ask for a look at each event, and whenever the stream of events begins or ends."""
        engine, pause = DockerEngine(None), 1.0
        while True:
            with suppress(SourceError), engine.api("listen to events") as api:
                events = api.events(filters=EVENTS)
                pause = 1.0
                self._asked.set()
                for _ in events:
                    self._asked.set()
            self._asked.set()
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS)

    def _look_when_asked(self) -> None:
        engine = DockerEngine(None)
        while True:
            self._asked.wait()
            self._asked.clear()
            looked = self._look(engine)
            with suppress(RuntimeError):  # the loop has ended
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._found, looked)
            time.sleep(QUIET_SECONDS)

    def _look(self, engine: DockerEngine) -> Looked:
        written, inventory, why = self._written(), None, ""
        try:
            inventory = read_inventory(engine)
        except SourceError as error:
            why = str(error)
        labelled = use_labels(written, inventory, why, remember=True)
        covered = coverage(labelled.config, inventory) if inventory else ()
        return Looked(written, inventory, labelled, tuple(covered))
