"""Signals: Ctrl-C and SIGTERM end any run in order; one service has one run at a time."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from engine.events import Started
from packrat.runs.lock import is_running
from tests.helpers.forked import backing_up, ended
from tests.helpers.house import House
from tests.helpers.network import unfinished
from tests.helpers.sampling import sample
from tests.helpers.servers import Line
from tests.helpers.trees import differences, fill, noise

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def two(tmp_path):
    """House with two destinations and one backup."""
    house = House(tmp_path, destinations=("one", "two"))
    fill(house.source, {"a": noise(300_000), "b/c": noise(2_000_000, 3), "b/d": b"small"})
    house.backed_up()
    return house


def backups(house, name):
    """Return the names that a destination lists."""
    return {item.stored.name for item in house.catalog(name).backups}


@pytest.mark.parametrize("number", sample(SIGNALS))
@pytest.mark.thorough
def test_interrupted_at_every_event(two, number):
    """At each event of a run: exit 130 and nothing left, or the run was done and is whole."""
    statuses = []
    for at in count(1):
        fill(two.source, {"a": noise(200_000, at)})
        before = [backups(two, name) for name in two.stores]
        events = count(1)
        seen, tell = os.pipe()

        def listener(_, at=at, events=events, tell=tell):
            if next(events) == at:
                os.write(tell, b"!")
                os.kill(os.getpid(), number)

        statuses.append(ended(backing_up(two, listener)))
        os.close(tell)
        signalled = os.read(seen, 1)
        os.close(seen)
        assert two.litter() == []
        if not signalled:
            break
        assert statuses[-1] in (0, 130)
        after = [backups(two, name) for name in two.stores]
        assert all(old <= new for old, new in zip(before, after, strict=True))
        if statuses[-1] == 0:
            assert len({max(names) for names in after}) == 1
            assert max(after[0]) not in before[0]
    assert statuses[-1] == 0
    assert statuses[: len(statuses) // 2] == [130] * (len(statuses) // 2)
    assert len(statuses) > 25
    assert {verdict.status for verdict in two.verify()} == {"ok"}
    assert differences(two.source, two.restore()) == []


@pytest.mark.parametrize("why", sample(["line", "limit"]))
def test_interrupted_while_it_sends_slowly(tmp_path, s3, nas, why):
    """A slow line, or a limit: the upload is cancelled, and its data deleted."""
    lines = [Line(server.port, rate=100_000) for server in (s3, nas)] if why == "line" else None
    one, other = [line.port for line in lines] if lines else (s3.port, nas.port)
    more = {} if lines else {"limit": "100 KiB/s"}
    nas.known_hosts.write_text(nas.known_hosts.read_text().replace(str(nas.port), str(other)))
    places = {"s3": s3.destination(one, **more), "nas": nas.destination("x", other, **more)}
    house = House(tmp_path, backup={"retain_backups": 9, "destinations": places})
    fill(house.source, {"a": noise(40 << 20, 1)})
    command = [sys.executable, "-m", "packrat", "-c", house.config_file, "backup", "svc"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        time.sleep(4)
        assert process.poll() is None
        begun = time.monotonic()
        process.terminate()
        assert process.wait() == 130
    assert time.monotonic() - begun < 5
    folders = [house.state / "spool", s3.folder / "bucket", nas.folder / "login"]
    assert [p for folder in folders for p in folder.rglob("*") if p.is_file()] == []
    assert unfinished(s3) == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.thorough
def test_interrupted_at_any_time(two, number):
    """The real program, at random moments: 130, or done; no leftovers, no traceback."""
    chance = random.Random(number)
    statuses = []
    for run in range(8):
        fill(two.source, {"b/c": noise(8_000_000, run + 50)})
        command = [sys.executable, "-m", "packrat", "-c", two.config_file, "backup", "svc"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while run % 2 and not is_running(str(two.state), "svc") and process.poll() is None:
                time.sleep(0.01)  # every other one is under way first
            time.sleep(chance.uniform(0, 0.4))
            process.send_signal(number)
            _, errors = process.communicate()
        statuses.append(process.returncode)
        assert two.litter() == []
        # until the program's first function has begun, Python handles the signal
        if b"Traceback" in errors:
            assert (number, b", in main" in errors) == (signal.SIGINT, False)
            assert process.returncode in (1, -number)
        else:  # while it loads, it simply ends
            assert process.returncode in (0, 130, -number)
    assert 130 in statuses


@pytest.mark.parametrize("number", sample(SIGNALS))
@pytest.mark.thorough
def test_an_interrupted_restore_reports_it(tmp_path, number):
    """An interrupted restore reports it in one line, with exit status 130."""
    house = House(tmp_path)
    fill(house.source, {f"{n}": noise(4_000_000, n) for n in range(40)})
    house.backed_up()
    statuses = []
    for run in range(3):
        out = tmp_path / "out" / str(run)
        command = [sys.executable, "-m", "packrat", "-c", house.config_file]
        command += ["restore", "svc", "--to", out, "--yes"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while not (out.exists() and os.listdir(out)) and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            _, errors = process.communicate()
        statuses.append(process.returncode)
        assert b"Traceback" not in errors
    assert 130 in statuses
    assert set(statuses) <= {0, 130}


def test_two_real_runs_of_one_service(two):
    """While one run goes on, another ends with 6 and names its process; afterwards it works."""
    ready, go = os.pipe(), os.pipe()

    def listener(event):
        if isinstance(event, Started) and event.stage == "collect":
            os.write(ready[1], b"!")
            os.read(go[0], 1)

    child = backing_up(two, listener)
    try:
        os.read(ready[0], 1)
        done = two.cli("backup", "svc")
        [result] = two.json("backup", "svc", status=6)
    finally:
        os.write(go[1], b"!")
        status = ended(child)
        for end in (*ready, *go):
            os.close(end)
    assert done.returncode == 6
    assert f"process {child} " in done.stderr
    assert "svc" in done.stderr
    assert (result["status"], str(child) in result["error"]) == ("failed", True)
    assert status == 0
    assert two.cli("backup", "svc").returncode == 0
    assert len(two.catalog().backups) == 3
