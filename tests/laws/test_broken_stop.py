"""Interrupted stop, which continues in Docker: a container that ran must run afterwards."""

import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.house import House
from tests.helpers.trees import fill, noise

pytestmark = pytest.mark.root
SLOWLY = "trap 'sleep 3; exit 0' TERM; while true; do sleep 0.1; done"
ONCE_DEAD = 5.0
"""Seconds after which an unfinished stop has ended."""


@pytest.mark.parametrize(
    "signals",
    [
        [(0.0, signal.SIGKILL)],
        pytest.param([(0.0, signal.SIGTERM)], marks=pytest.mark.thorough),
        pytest.param([(0.0, signal.SIGTERM), (0.05, signal.SIGTERM)], marks=pytest.mark.thorough),
        pytest.param([(0.0, signal.SIGINT), (1.0, signal.SIGINT)], marks=pytest.mark.thorough),
    ],
    ids=["killed", "ended", "ended by several at once", "ended impatiently"],
)
def test_a_container_runs_again_after_an_interrupted_stop(tmp_path, engine, signals):
    """Signals while a container takes three seconds to end: it runs, and nothing is owed."""
    name = engine.run("slow", SLOWLY)
    docker = {"container": name, "host": engine.host}
    house = House(tmp_path, settings={"docker": docker})
    fill(house.source, {"a": noise(100_000)})
    journal = house.state / "journal" / "svc.json"
    command = [sys.executable, "-m", "packrat", "-c", house.config_file, "backup", "svc"]
    try:
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while not journal.exists() or f'"stopping": "{name}"' not in journal.read_text():
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(0.5)
            for pause, number in signals:
                time.sleep(pause)
                process.send_signal(number)
        assert process.returncode == (-9 if signals[0][1] == signal.SIGKILL else 130)
        assert house.cli("repair").returncode == 0
        time.sleep(ONCE_DEAD)
        assert engine.running(name)
        assert not journal.exists()
        assert house.litter() == []
    finally:
        engine.docker("rm", "-f", name)
