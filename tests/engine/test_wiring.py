"""Laws of a run: after any failure everything ends, and what is held is released once."""

import itertools
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import (
    Acquired,
    Failed,
    Finished,
    Progress,
    Released,
    Skipped,
    Started,
    Warned,
)
from engine.graph import Graph
from engine.run import Clock
from engine.wiring import execute
from tests.helpers.sampling import examples
from tests.helpers.troubled import KINDS, SPEC, WAIT, World, ends, go, run_of, spec, wait_for

TRUNK = ["first", "source", "stop", "inside", "pack", "fan"]
places = ["first", "last", "first by Ctrl-C", "last by Ctrl-C", "first by cancelling"]
failures = st.dictionaries(
    st.sampled_from([name for name in SPEC if name not in ("stop", "start")]),
    st.sampled_from([*places, "last by cancelling"]),
    max_size=3,
)
scopes = st.sampled_from(["", "", "acquire", "release", "acquire by Ctrl-C", "release by Ctrl-C"])


@settings(max_examples=examples(40))
@given(failures, scopes, st.booleans(), st.sampled_from([0, 1, 100]))
def test_whatever_fails_every_stage_ends_once(fails, scope, reverse, ahead):
    """Each stage finishes, fails or is skipped; acquired scopes are released once."""
    document = spec(**fails, stop=scope)
    document["stop"] = document["stop"] | {"ahead": ahead}
    threads = set(threading.enumerate())
    outcome, world, events = go(document, reverse=reverse)
    graph = run_of(document, reverse=reverse)[0]
    assert ends(events) == dict.fromkeys(graph.nodes, 1)
    assert world.lines.count("acquire") == world.lines.count("release")
    assert not set(outcome.failed) & set(outcome.skipped)
    finished = {e.stage for e in events if isinstance(e, Finished)}
    assert finished == set(graph.nodes) - set(outcome.failed) - set(outcome.skipped)
    assert set(outcome.skipped.values()) <= set(outcome.failed)
    for name in finished - {"start"}:
        assert {before.name for before in graph.before(name)} <= finished | {"start"}, name
    order = [e.stage for e in events if isinstance(e, Started | Finished | Failed | Skipped)]
    for name, count in Counter(e.stage for e in events if isinstance(e, Started)).items():
        assert (count, order.count(name)) == (1, 2)
    if not fails and not scope:
        assert finished == set(graph.nodes)
    assert set(threading.enumerate()) == threads


@pytest.mark.parametrize("name", TRUNK)
@pytest.mark.parametrize("at", ["first", "last"])
def test_trunk_that_fails_skips_the_branches_because_of_it(name, at):
    at = "acquire" if name == "stop" else at
    outcome, world, _ = go(spec(**{name: at}))
    assert {name: str(error) for name, error in outcome.failed.items()} == {
        name: f"{name} fails {at}"
    }
    assert {outcome.skipped[n] for n in ("a", "a2", "b", "after_a", "end")} == {name}
    assert not {"a ends", "b ends", "end begins"} & set(world.lines)


def test_items_reach_every_branch_in_order():
    outcome, world, events = go(SPEC)
    assert (outcome.failed, outcome.skipped) == ({}, {})
    counts = {e.stage: (e.items, e.bytes) for e in events if isinstance(e, Finished)}
    assert counts["a"] == counts["a2"] == counts["b"] == counts["fan"] == (3, 30)
    assert world.lines[-1] == "end ends"


def test_scope_is_acquired_and_released_at_the_ends_of_its_input():
    """Reading ends before the stop; chunking and everything after it continues after the start."""
    _, world, events = go(SPEC)
    assert world.lines.index("source ends") < world.lines.index("acquire")
    assert world.lines.index("inside ends") < world.lines.index("release")
    assert world.lines.index("release") < world.lines.index("pack ends")
    kinds = [type(e) for e in events if e.stage in ("stop", "start")]
    assert kinds == [Started, Started, Acquired, Finished, Released, Finished]


@pytest.mark.parametrize(("ahead", "early"), [(0, 3), (1, 2), (100, 0)])
def test_items_beyond_the_read_ahead_pass_on_before_the_release(ahead, early):
    """The buffer of a releasing link is bounded: items beyond the bound pass on."""
    seen = []

    class Watch(KINDS[1]):
        kind = "watch"

        def forward(self, items, run):
            for item in items:
                seen.append("release" in run.fact(World).lines)
                yield item

    document = spec() | {"pack": {"kind": "watch", "after": ["start"]}}
    document["stop"] = document["stop"] | {"ahead": ahead}
    _, run, _ = run_of(SPEC)
    assert not execute(Graph.build(document, (*KINDS, Watch), [World]), run).failed
    assert seen == [False] * early + [True] * (3 - early)


def test_scope_is_released_before_any_branch_is_waited_for():
    """A slow destination keeps no container down."""
    graph, run, world = run_of(spec(b="first by stalling"))
    thread = threading.Thread(target=execute, args=(graph, run))
    thread.start()
    try:
        assert world.stalled.wait(WAIT)
        wait_for("after_start ends", world)
        assert thread.is_alive()
    finally:
        world.go.set()
        thread.join(WAIT)
    assert world.lines[-1] == "end ends"


def test_branch_that_stalls_does_not_hold_the_other():
    graph, run, world = run_of(spec(b="first by stalling"))
    thread = threading.Thread(target=execute, args=(graph, run))
    thread.start()
    try:
        wait_for("after_a ends", world)
        assert "end begins" not in world.lines
    finally:
        world.go.set()
        thread.join(WAIT)
    assert "end ends" in world.lines


def test_branch_that_fails_skips_only_what_depends_on_it():
    outcome, world, _ = go(spec(a="last"))
    assert list(outcome.failed) == ["a"]
    assert outcome.skipped == dict.fromkeys(["a2", "after_a", "end"], "a")
    assert {"b ends", "after_start ends"} <= set(world.lines)


@pytest.mark.parametrize("at", ["acquire", "acquire by Ctrl-C", "acquire by cancelling"])
def test_acquire_that_fails_halfway_is_released_and_nothing_in_it_runs(at):
    """One container is down, the second refuses: the first is started again, nothing is read."""
    outcome, world, _ = go(spec(stop=at))
    assert world.lines.count("release") == 1
    assert "inside ends" not in world.lines
    assert "pack ends" not in world.lines
    if "cancelling" not in at:
        assert "stop" in outcome.failed


def test_scope_that_was_not_acquired_is_not_released():
    outcome, world, _ = go(spec(source="last"))
    assert not {"acquire", "release"} & set(world.lines)
    assert outcome.skipped["start"] == "source"


def test_release_that_fails_is_an_outcome_of_its_own_and_items_pass_on():
    """The archive is published although a container did not start."""
    outcome, world, events = go(spec(stop="release"))
    assert list(outcome.failed) == ["start"]
    assert outcome.skipped == {"after_start": "start", "end": "start"}
    assert {"a2 ends", "b ends", "pack ends"} <= set(world.lines)
    assert next(e.items for e in events if isinstance(e, Finished) and e.stage == "b") == 3


def test_reversed_scope_is_held_around_the_same_stages():
    """Writing to the staging folder comes before the stop, the swap between stop and start."""
    outcome, world, _ = go(SPEC, reverse=True)
    assert (outcome.failed, outcome.skipped) == ({}, {})
    order = ["select ends", "a2 ends", "fan ends", "acquire", "inside ends", "release"]
    assert [line for line in world.lines if line in order] == order
    assert world.lines[-1] == "source ends"


def test_on_the_way_back_nothing_is_swapped_when_the_scope_cannot_be_acquired():
    outcome, world, _ = go(spec(stop="acquire"), reverse=True)
    assert list(outcome.failed) == ["stop"]
    assert not {"inside ends", "source ends"} & set(world.lines)
    assert world.lines.count("release") == 1


def test_same_error_of_two_branches_is_the_outcome_of_both():
    error = OSError("the same")

    class Same(KINDS[1]):
        kind = "same"

        def forward(self, items, run):
            list(items)
            raise error
            yield

    document = spec() | {name: {"kind": "same", "after": ["fan"]} for name in ("a", "b")}
    graph = Graph.build(document, (*KINDS, Same), [World])
    outcome = execute(graph, run_of(SPEC)[1])
    assert outcome.failed == {"a": error, "b": error}
    assert outcome.skipped == {"a2": "a", "after_a": "a", "end": "a"}


def test_error_belongs_to_its_origin_and_not_to_stages_that_pass_it_on():
    """An error that passes through other stages is only the outcome of its origin."""
    outcome, _, events = go(spec(source="last"))
    assert list(outcome.failed) == ["source"]
    assert [e.stage for e in events if isinstance(e, Failed)] == ["source"]
    assert {e.because for e in events if isinstance(e, Skipped)} == {"source"}


def test_time_is_injected():
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
    """Branches emit events from their own threads; listeners need no locks."""
    inside = threading.Lock()
    heard = []

    def listener(event):
        assert inside.acquire(blocking=False)
        time.sleep(0.0005)
        heard.append(event)
        inside.release()

    graph, run, _ = run_of(SPEC, listener)
    assert not execute(graph, run).failed
    run.warn("a word")
    assert heard[-1] == Warned("", "a word")
    assert len(heard) > 2 * len(SPEC)
