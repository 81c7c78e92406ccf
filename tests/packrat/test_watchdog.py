"""Watchdog: it ends a run without progress, and one that does not stop on request."""

import os
import select
import signal
import subprocess
import threading
import time

import pytest

from engine.events import Progress, Started
from engine.run import Clock, Run, Shared
from packrat.runs import watchdog
from packrat.runs.backup import back_up
from packrat.runs.watchdog import Watchdog
from stages.waiting import Waiting
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.needs import need, need_loop_devices
from tests.helpers.trees import fill


class Ticks:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 1000.0
        self.clock = Clock(ticks=lambda: self.now)


@pytest.fixture
def ticks():
    return Ticks()


@pytest.fixture
def watched(ticks):
    """A watchdog and its run, one hour by its own clock after the last event."""
    dog = Watchdog("svc", ticks.clock)
    run = Run(Shared([dog], ticks.clock), "collect")
    return dog, run


@pytest.fixture
def impatient_watchdog(monkeypatch):
    monkeypatch.setattr(watchdog, "ASKED_SECONDS", 1.0)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.05)


def test_a_run_without_progress_for_an_hour_is_requested_to_stop(watched, ticks):
    dog, run = watched
    run.emit(Progress("collect", 1, 1))
    ticks.now += 3599
    dog.check(run, None)
    assert not run.cancelled
    ticks.now += 2
    dog.check(run, None)
    assert run.cancelled
    assert "no progress for 3600 s, last in stage collect" in str(dog.problem)


def test_any_progress_starts_the_hour_again(watched, ticks):
    dog, run = watched
    for _ in range(100):
        ticks.now += 3000
        run.advance(bytes=1)
        dog.check(run, None)
    assert not run.cancelled


@pytest.mark.parametrize("early", [True, False])
def test_a_wait_with_its_own_limit_is_no_lack_of_progress(watched, ticks, early):
    """A command may take a day by its timeout; after its end the hour counts again."""
    dog, run = watched
    run.emit(Waiting("collect", 86_400))
    ticks.now += 86_000
    dog.check(run, None)
    assert not run.cancelled
    if early:
        run.emit(Progress("collect", 1, 0))
        ticks.now += 3601
    else:
        ticks.now += 400 + 3601
    dog.check(run, None)
    assert run.cancelled


def test_another_stage_does_not_end_a_wait(watched, ticks):
    dog, run = watched
    run.emit(Waiting("pre_backup", 7200))
    run.emit(Progress("upload", 1, 1))
    ticks.now += 7000
    dog.check(run, None)
    assert not run.cancelled


def test_a_run_that_goes_on_after_the_request_to_end_is_interrupted_once(watched, ticks):
    """Only after a time without any event, because a repair is progress, too."""
    dog, run = watched
    interrupts = []
    run.cancel()
    dog.check(run, lambda: interrupts.append(ticks.now))
    for _ in range(10):
        ticks.now += watchdog.ASKED_SECONDS - 1
        run.emit(Progress("start", 1, 1))
        dog.check(run, lambda: interrupts.append(ticks.now))
    assert interrupts == []
    run.emit(Waiting("start", 100))
    ticks.now += 100 + watchdog.ASKED_SECONDS - 1
    dog.check(run, lambda: interrupts.append(ticks.now))
    assert interrupts == []
    ticks.now += 2
    dog.check(run, lambda: interrupts.append(ticks.now))
    assert interrupts == [ticks.now]


@pytest.mark.parametrize(("seconds", "timeout"), [(3601, None), (61, 60)])
def test_a_backup_that_stalls_or_takes_too_long_fails_with_the_reason(
    tmp_path, ticks, monkeypatch, seconds, timeout
):
    """The run ends, no unfinished file is left, and the next run works."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.05)
    house = House(tmp_path, settings={"timeout": timeout} if timeout else {})
    fill(house.source, {"a": b"a"})

    def listen(event):
        if isinstance(event, Started) and event.stage == "collect":
            ticks.now += seconds
            time.sleep(1)

    result = back_up(house.pipeline(), [listen], clock=ticks.clock)
    assert (result.status, result.exit) == ("failed", 4)
    if timeout:
        assert "the run took longer than its timeout of 60 s, and was ended" in result.error
        assert "services.svc.timeout" in result.error
    else:
        assert "no progress for 3600 s, last in stage collect" in result.error
    assert house.archives == []
    assert house.litter() == []
    house.backed_up()


@pytest.mark.usefixtures("impatient_watchdog")
@pytest.mark.parametrize("stage", ["survey", "collect", "upload:local"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_a_run_that_hangs_in_a_system_call(tmp_path, stage, number):
    """In the main thread and in that of a destination, as an open of a FIFO does."""
    house = House(tmp_path)
    fill(house.source, {"a": b"a"})
    fifo, hangs = tmp_path / "fifo", threading.Event()
    os.mkfifo(fifo)
    seen, tell = os.pipe()

    def listen(event):
        if isinstance(event, Started) and event.stage == stage and not hangs.is_set():
            hangs.set()
            os.write(tell, b"!")
            os.close(os.open(fifo, os.O_RDONLY))

    child = forked(lambda: back_up(house.pipeline(), [listen]).exit)
    os.close(tell)
    os.read(seen, 1)
    os.close(seen)
    begun = time.monotonic()
    os.kill(child, number)
    assert ended(child) == 130
    assert time.monotonic() - begun < 10
    assert house.archives == []
    fifo.unlink()
    house.backed_up()


@pytest.fixture
def frozen(tmp_path):
    """A filesystem whose writers the kernel holds until `thaw` is called."""
    need_loop_devices()
    need("fsfreeze", "apt install util-linux")
    image, at = tmp_path / "image", tmp_path / "disk"
    at.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    subprocess.run(["fsfreeze", "-f", at], check=True)

    def thaw():
        subprocess.run(["fsfreeze", "-u", at], capture_output=True, check=False)

    try:
        yield at, thaw
    finally:
        thaw()
        subprocess.run(["umount", "-l", at], check=True)


@pytest.mark.root
@pytest.mark.usefixtures("impatient_watchdog")
def test_a_run_that_is_blocked_in_the_kernel_is_reported_and_ends_with_the_block(tmp_path, frozen):
    """No signal ends such a thread; the message names it and where it waits."""
    at, thaw = frozen
    house = House(tmp_path / "house")
    fill(house.source, {"a": b"a"})
    seen, tell = os.pipe()
    said, errors = os.pipe()

    def listen(event):
        if isinstance(event, Started) and event.stage == "collect":
            os.write(tell, b"!")
            (at / "file").write_bytes(b"held")

    def work():
        os.dup2(errors, 2)
        return back_up(house.pipeline(), [listen]).exit

    child = forked(work)
    os.close(errors)
    os.read(seen, 1)
    os.kill(child, signal.SIGTERM)
    ready, _, _ = select.select([said], [], [], 30)
    assert ready
    text = os.read(said, 4000).decode()
    assert "svc: the run could not be stopped in order: the kernel blocks thread MainThread" in text
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    thaw()
    assert ended(child) == 130
    house.backed_up()
