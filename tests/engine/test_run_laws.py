"""Laws of a run: for any graph and any failure, everything ends, and what is held is let go."""

import itertools
import signal
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Failed, Finished, Progress, Skipped, Started, Warned
from engine.graph import Graph, Node
from engine.run import Cancelled, Clock, Run, Shared, execute
from tests.helpers.troubled import KINDS, SPEC, WAIT, Select, World

TRUNK = ["first", "stop", "source", "inside", "fan"]


def spec(**fails):
    return {n: s | ({"fail": fails[n]} if n in fails else {}) for n, s in SPEC.items()}


def run_of(document, *listeners, reverse=False, clock=None):
    graph = Graph.build(document, KINDS)
    if reverse:
        graph = graph.reverse("a2", Node("select", Select()))
    run = Run(World(), Shared(listeners, clock or Clock()))
    return graph, run


def go(document, **more):
    events = []
    graph, run = run_of(document, events.append, **more)
    return execute(graph, run), run.context, events


def ends(events):
    return Counter(e.stage for e in events if isinstance(e, Finished | Failed | Skipped))


places = ["first", "last", "first by Ctrl-C", "last by cancelling"]
failures = st.dictionaries(
    st.sampled_from([name for name in SPEC if name not in ("stop", "start")]),
    st.sampled_from(places),
    max_size=3,
)


@settings(max_examples=150)
@given(failures, st.sampled_from(["", "", "acquire", "release"]))
def test_whatever_fails_everything_ends_once(fails, scope):
    """Each stage finishes, fails or is skipped, once; what was acquired is released, once."""
    outcome, world, events = go(spec(**fails, stop=scope))
    assert ends(events) == dict.fromkeys(SPEC, 1)
    assert world.lines.count("acquire") == world.lines.count("release")
    assert not set(outcome.failed) & set(outcome.skipped)
    finished = {e.stage for e in events if isinstance(e, Finished)}
    assert finished == set(SPEC) - set(outcome.failed) - set(outcome.skipped)
    assert set(outcome.skipped.values()) <= set(outcome.failed)
    for name in finished - {"start", "end"}:
        assert not [b for b in SPEC[name].get("after", []) if b not in finished], name
    started = [e.stage for e in events if isinstance(e, Started)]
    assert max(Counter(started).values()) == 1
    order = [e.stage for e in events if isinstance(e, Started | Finished | Failed | Skipped)]
    for name in started:
        assert order.count(name) == 2
    if not fails and not scope:
        assert finished == set(SPEC)


@pytest.mark.parametrize("name", TRUNK)
@pytest.mark.parametrize("at", ["first", "last"])
def test_a_trunk_that_fails_ends_the_branches_and_runs_what_always_runs(name, at):
    """Wherever the trunk fails, the branches are skipped because of it, and `always` runs."""
    at = "acquire" if name == "stop" else at
    outcome, world, _ = go(spec(**{name: at}))
    assert list(outcome.failed) == [name]
    assert str(outcome.failed[name]) == f"{name} fails {at}"
    assert {outcome.skipped[n] for n in ("a", "a2", "b", "after_a")} == {name}
    assert world.lines[-1] == "end ends"
    assert "a ends" not in world.lines


def test_a_scope_is_let_go_before_anything_behind_it_is_waited_for():
    """A branch that stalls, and a trunk still busy, keep nobody's container down."""
    graph, run = run_of(spec(b="first by stalling", inside="last by stalling"))
    thread = threading.Thread(target=execute, args=(graph, run))
    thread.start()
    try:
        assert run.context.stalled.wait(WAIT)
        limit = time.monotonic() + WAIT
        while "after_start ends" not in run.context.lines and time.monotonic() < limit:
            time.sleep(0.01)
        assert "after_start ends" in run.context.lines
        assert thread.is_alive()
    finally:
        run.context.go.set()
        thread.join(WAIT)
    assert run.context.lines[-1] == "end ends"


def test_a_branch_that_stalls_does_not_hold_up_the_other():
    """One destination takes everything, and what follows it is done, while another stands."""
    graph, run = run_of(spec(b="first by stalling"))
    thread = threading.Thread(target=execute, args=(graph, run))
    thread.start()
    try:
        limit = time.monotonic() + WAIT
        while "after_a ends" not in run.context.lines and time.monotonic() < limit:
            time.sleep(0.01)
        assert "after_a ends" in run.context.lines
        assert "end begins" not in run.context.lines
    finally:
        run.context.go.set()
        thread.join(WAIT)
    assert "end ends" in run.context.lines


@pytest.mark.parametrize("at", ["acquire", "acquire by Ctrl-C", "acquire by cancelling"])
def test_an_acquire_that_fails_halfway_is_released_and_nothing_in_it_runs(at):
    """One container is down, the second refuses: the first is started again, nothing is read."""
    outcome, world, _ = go(spec(stop=at))
    assert world.lines.count("release") == 1
    if at == "acquire":
        assert list(outcome.failed) == ["stop"]
    if "cancelling" not in at:
        assert "source begins" not in world.lines


def test_a_release_that_fails_is_a_failure_of_its_own():
    """It is told under the stage that releases, happens once, and the branches go on."""
    outcome, world, _ = go(spec(stop="release"))
    assert list(outcome.failed) == ["start"]
    assert world.lines.count("release") == 1
    assert {"a2 ends", "b ends", "end ends"} <= set(world.lines)
    assert "after_start begins" not in world.lines


def test_ctrl_c_in_a_stage_cancels_the_run_and_lets_go():
    """An interrupt ends all branches at once, and leaves nothing held."""
    outcome, world, _ = go(spec(source="last by Ctrl-C", stop=""))
    assert isinstance(outcome.failed["source"], KeyboardInterrupt)
    assert world.lines.count("release") == 1


def test_a_signal_is_heard_while_only_branches_work():
    """Also one that does not wake the thread that waits for them."""
    graph, run = run_of(spec(b="first by stalling"))
    heard = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())

    def signal_another_thread():
        run.context.stalled.wait(WAIT)
        limit = time.monotonic() + WAIT
        while "after_a ends" not in run.context.lines and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.1)  # nothing is left but to wait for the branch
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        heard.wait(WAIT / 2)
        run.context.go.set()

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


@pytest.mark.parametrize("when", ["first", "last"])
def test_a_cancelled_run_says_so_and_ends_soon(when):
    """Somebody asks a run to stop: it does, with Cancelled as what ended it, and lets go."""
    outcome, world, events = go(spec(inside=f"{when} by cancelling"))
    assert any(isinstance(error, Cancelled) for error in outcome.failed.values())
    assert world.lines.count("acquire") == world.lines.count("release") == 1
    assert ends(events) == dict.fromkeys(SPEC, 1)


def test_on_the_way_back_the_scope_is_held_around_the_writing():
    """In reverse, too, what is to stand still stands before the first stage in the scope begins."""
    outcome, world, _ = go(SPEC, reverse=True)
    assert (outcome.failed, outcome.skipped) == ({}, {})
    assert world.lines.index("acquire") < world.lines.index("source begins")
    assert world.lines.index("source ends") < world.lines.index("release")


def test_on_the_way_back_nothing_is_written_when_the_scope_cannot_be_acquired():
    """A restore whose container does not stop writes nothing below it."""
    outcome, world, _ = go(spec(stop="acquire"), reverse=True)
    assert "stop" in outcome.failed
    assert "source begins" not in world.lines
    assert world.lines.count("release") == 1


def test_time_comes_in_through_the_run():
    """Seconds and the pace of progress follow the run's own clock."""
    ticks = itertools.count()
    _, _, events = go(SPEC, clock=Clock(ticks=lambda: float(next(ticks))))
    progress = [e for e in events if isinstance(e, Progress) and e.stage == "source"]
    assert [(e.items, e.bytes) for e in progress] == [(1, 10), (2, 20), (3, 30)]
    [finished] = [e for e in events if isinstance(e, Finished) and e.stage == "source"]
    assert (finished.items, finished.bytes) == (3, 30)
    assert finished.seconds >= 3
    _, _, events = go(SPEC, clock=Clock(ticks=lambda: 7.0))
    assert len([e for e in events if isinstance(e, Progress) and e.stage == "source"]) == 1


def test_listeners_hear_one_event_at_a_time():
    """Branches speak from threads of their own, listeners need no locks."""
    inside = threading.Lock()
    heard = []

    def listener(event):
        assert inside.acquire(blocking=False)
        time.sleep(0.0005)
        heard.append(event)
        inside.release()

    graph, run = run_of(SPEC, listener)
    assert not execute(graph, run).failed
    run.warn("a word")
    assert heard[-1] == Warned("", "a word")
    assert len(heard) > 2 * len(SPEC)
