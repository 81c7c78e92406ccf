"""Real daemons on a house, observed through their log and history."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import yaml

from packrat.runs.history import History

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


def quiet_minute() -> str:
    """Return an hourly schedule that is not due within the next minutes."""
    return f"{(time.gmtime().tm_min + 30) % 60} * * * *"


def settle(house, **more) -> None:
    """Change keys of the configuration."""
    document = yaml.safe_load(house.config_file.read_text())
    house.config_file.write_text(yaml.safe_dump(document | {"timezone": "UTC"} | more))


def schedule(house, *, service=None, **settings) -> None:
    """Set a schedule of a service, some of whose instants were missed."""
    document = yaml.safe_load(house.config_file.read_text())
    name = service or house.service
    own = {"path": str(house.source), "schedule": quiet_minute()} | settings
    document["services"][name] = document["services"].get(name, {}) | own
    house.config_file.write_text(yaml.safe_dump(document | {"timezone": "UTC"}))
    with closing(History(str(house.state))) as history:
        history.set_mark(name, own["schedule"], time.time() - 5 * HOUR)


class Running:
    """A running daemon with its log."""

    def __init__(
        self,
        house,
        *words: str,
        env: dict[str, str] | None = None,
        wrap: tuple[str, ...] = (),
        program: tuple[str, ...] = (sys.executable, "-m", "packrat"),
    ) -> None:
        self.house = house
        self.log: Path = house.root / "ignored-log"
        config = ("-c", str(house.config_file))
        command = [*wrap, *program, *config, "daemon", *words]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True
            )

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        """Kill the daemon, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop the daemon in order; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def until(self, true, seconds: float = 20.0) -> None:
        """Wait until a condition is true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.said
            time.sleep(0.05)

    def runs(self) -> list[dict]:
        """Return the backups in the history, the oldest first."""
        return runs(self.house)


def runs(house) -> list[dict]:
    """Return the backups in the history of a house, the oldest first."""
    with closing(History(str(house.state))) as history:
        found = [past.json() for past in reversed(history.runs())]
    return json.loads(json.dumps([run for run in found if run["job"] == "backup"]))
