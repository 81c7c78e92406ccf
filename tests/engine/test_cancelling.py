"""Ctrl-C, signals and cancellation: the run ends in order, and no more work begins."""

import signal
import threading
import time

import pytest

from engine.events import Started
from engine.run import Cancelled
from engine.wiring import execute
from tests.helpers.troubled import SPEC, WAIT, ends, go, run_of, spec, wait_for


def test_ctrl_c_in_a_release_cancels_the_run():
    outcome, world, _ = go(spec(stop="release by Ctrl-C"))
    assert isinstance(outcome.failed["start"], KeyboardInterrupt)
    assert not {"pack ends", "a ends", "b ends"} & set(world.lines)


def test_ctrl_c_in_a_stage_cancels_the_run_and_releases():
    outcome, world, _ = go(spec(inside="last by Ctrl-C"))
    assert isinstance(outcome.failed["inside"], KeyboardInterrupt)
    assert world.lines.count("release") == 1
    assert not {"a ends", "b ends"} & set(world.lines)


def test_interrupt_between_two_stages_is_in_the_outcome():
    """It is raised in a listener, hence in no stage: it is not lost, and all stages end."""
    events = []

    def interrupt(event):
        events.append(event)
        if isinstance(event, Started) and event.stage == "inside":
            raise KeyboardInterrupt

    graph, run, _ = run_of(SPEC, interrupt)
    outcome = execute(graph, run)
    assert run.cancelled
    assert any(isinstance(error, KeyboardInterrupt) for error in outcome.failed.values())
    assert ends(events) == dict.fromkeys(SPEC, 1)


@pytest.mark.parametrize("name", ["first", "source", "inside"])
def test_cancelled_run_begins_no_more_work(name):
    """Neither a chain nor a stage whose input has ended begins; the outcome is Cancelled."""
    outcome, world, events = go(spec(**{name: "last by cancelling"}))
    assert any(isinstance(error, Cancelled) for error in outcome.failed.values())
    assert world.lines.count("acquire") == world.lines.count("release")
    assert ("acquire" in world.lines) == (name == "inside")
    assert not {"pack ends", "after_start begins", "a ends", "end begins"} & set(world.lines)
    assert ends(events) == dict.fromkeys(SPEC, 1)


def test_signal_is_handled_while_only_branches_work():
    """This includes a signal that does not wake the thread that waits for the branches."""
    graph, run, world = run_of(spec(b="first by stalling"))
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())

    def signal_another_thread():
        world.stalled.wait(WAIT)
        wait_for("after_a ends", world)
        time.sleep(0.1)  # only the wait for the branch is left
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        heard.wait(WAIT / 2)
        world.go.set()

    thread = threading.Thread(target=signal_another_thread)
    thread.start()
    try:
        begun = time.monotonic()
        execute(graph, run)
        assert heard.is_set()
        assert time.monotonic() - begun < WAIT / 2
    finally:
        thread.join(WAIT)
        signal.signal(signal.SIGUSR1, before)
