"""A run wires chains, isolates branches, owns releases, and says how it ended."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from engine.stream import Stream

from engine.events import Failed, Finished, Skipped, Started
from engine.graph import Graph, Node
from engine.pool import in_order
from engine.run import Cancelled, Run, Shared, execute
from engine.stage import FanOut, Scope, Stage


class Item: ...


class Log:
    """What happened, in order, and what stages of a test share."""

    def __init__(self):
        self.lines = []
        self.items = []
        self.done = threading.Event()


class Give(Stage):
    kind: ClassVar[str] = "give"
    gives: ClassVar[type | None] = Item
    count: int = 3
    fail_at: int = -1
    early: bool = False

    def forward(self, items: Iterator[Any], run: Run[Log]) -> Iterator[Any]:
        for number in range(self.count):
            if number == self.fail_at:
                raise ValueError("no more")
            if self.early and not number:
                run.finish()
            yield number


class Fan(FanOut):
    kind: ClassVar[str] = "fan"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item

    def forward(self, items: Iterator[Any], run: Run[Log]) -> Iterator[Any]:
        run.context.items = list(items)
        run.context.done.set()
        yield from ()

    def branch(self, run: Run[Log]) -> Iterator[Any]:
        while not run.context.done.wait(0.01):
            run.check()
        yield from run.context.items


class Take(Stage):
    kind: ClassVar[str] = "take"
    takes: ClassVar[type | None] = Item
    fail: bool = False
    slow: float = 0

    def forward(self, items: Iterator[Any], run: Run[Log]) -> Iterator[Any]:
        for item in items:
            time.sleep(self.slow)
            if self.fail:
                raise OSError(f"cannot take {item}")
            run.context.lines.append((run.stage, item))
        yield from ()


class Step(Stage):
    kind: ClassVar[str] = "step"
    fail: bool = False

    def forward(self, items: Iterator[Any], run: Run[Log]) -> Iterator[Any]:
        run.context.lines.append(run.stage)
        if self.fail:
            raise OSError("no step")
        yield from ()


class Always(Step):
    kind: ClassVar[str] = "always"
    always: ClassVar[bool] = True


class Hold(Scope):
    kind: ClassVar[str] = "hold"
    fail: bool = False

    def acquire(self, run: Run[Log]) -> None:
        run.context.lines.append("acquire")
        if self.fail:
            raise OSError("halfway")

    def release(self, run: Run[Log]) -> None:
        run.context.lines.append("release")


KINDS = (Give, Fan, Take, Step, Always, Hold)


def go(spec, listener=lambda _: None, before=lambda _: None):
    log = Log()
    run = Run(log, Shared([listener]))
    before(run)
    return execute(Graph.build(spec, KINDS), run), log


def taken(log, branch):
    return [line[1] for line in log.lines if isinstance(line, tuple) and line[0] == branch]


def spec(**changes):
    document = {
        "hold": {"kind": "hold"},
        "give": {"kind": "give", "after": ["hold"]},
        "free": {"releases": "hold", "after": ["give"]},
        "fan": {"kind": "fan", "after": ["give"]},
        "a": {"kind": "take", "after": ["fan"]},
        "b": {"kind": "take", "after": ["fan"]},
        "after_a": {"kind": "step", "after": ["a"]},
        "end": {"kind": "always", "after": ["after_a", "b"]},
    }
    for name, change in changes.items():
        document[name] = document[name] | change
    return document


def test_all_items_reach_every_branch():
    """Each branch gets every item, in order, and what waits for them runs after."""
    outcome, log = go(spec())
    assert (outcome.failed, outcome.skipped) == ({}, {})
    for branch in "ab":
        assert taken(log, branch) == [0, 1, 2]
    assert log.lines[0] == "acquire"
    assert log.lines[-1] == "end"


def test_one_branch_that_fails_or_stalls_holds_nobody():
    """A failed branch skips what depends on it; the others and what always runs do run."""
    outcome, log = go(spec(a={"fail": True}, b={"slow": 0.05}))
    assert list(outcome.failed) == ["a"]
    assert outcome.skipped == {"after_a": "a"}
    assert taken(log, "b") == [0, 1, 2]
    assert log.lines[-1] == "end"


def test_a_source_that_fails_ends_the_branches():
    """When what feeds them fails, branches end at once and are skipped, not failed."""
    outcome, log = go(spec(give={"fail_at": 1}))
    assert list(outcome.failed) == ["give"]
    assert set(outcome.skipped) == {"fan", "a", "b", "after_a"}
    assert log.lines == ["acquire", "release", "end"]


def test_a_failure_before_the_fan_out_began_ends_the_branches():
    """Branches that wait for a fan-out that will never start do not wait for ever."""
    document = {"first": {"kind": "step", "fail": True}} | spec(hold={"after": ["first"]})
    outcome, log = go(document)
    assert list(outcome.failed) == ["first"]
    assert "a" in outcome.skipped
    assert "acquire" not in log.lines


def test_the_scope_is_released_as_soon_as_its_last_stage_is_through():
    """The release comes before a slow branch has taken a thing."""
    _, log = go(spec(a={"slow": 0.1}, b={"slow": 0.1}))
    assert log.lines.index("release") < log.lines.index(("a", 0))


def test_what_comes_after_a_stage_may_begin_before_all_its_items_have_passed():
    """A stage that finishes early lets the scope go first, and is finished once."""
    events = []

    def listen(event):
        events.append((type(event), event.stage))

    outcome, log = go(spec(give={"early": True}), listen)
    assert (outcome.failed, taken(log, "a")) == ({}, [0, 1, 2])
    assert log.lines.count("release") == 1
    assert events.count((Finished, "give")) == 1
    assert events.index((Finished, "free")) < events.index((Finished, "fan"))
    assert log.lines.index("release") < log.lines.index(("a", 0))


@pytest.mark.parametrize("change", [{"hold": {"fail": True}}, {"give": {"fail_at": 0}}])
def test_a_scope_that_was_begun_is_released_once(change):
    """Also when acquire fails halfway, or what it encloses does."""
    _, log = go(spec(**change))
    assert log.lines.count("release") == 1


def test_cancelling_ends_everything_in_order():
    """A cancelled run fails with Cancelled, its scope is released."""
    outcome, log = go(
        spec(give={"count": 10**9}), before=lambda run: threading.Timer(0.1, run.cancel).start()
    )
    assert any(isinstance(error, Cancelled) for error in outcome.failed.values())
    assert log.lines.count("release") == 1


def test_events_tell_the_story_in_order():
    """Each stage starts once and ends once: finished, failed or skipped."""
    events = []
    go(spec(a={"fail": True}), events.append)
    started = [e.stage for e in events if isinstance(e, Started)]
    ended = [e.stage for e in events if isinstance(e, Finished | Failed | Skipped)]
    assert sorted(ended) == sorted(spec())
    assert len(set(started)) == len(started)
    for name in set(started) & set(ended):
        first = next(i for i, e in enumerate(events) if e.stage == name and isinstance(e, Started))
        last = next(
            i
            for i, e in enumerate(events)
            if e.stage == name and isinstance(e, Finished | Failed | Skipped)
        )
        assert first < last


def test_in_order_is_in_order_and_bounded():
    """Results come in the order of the items, with no more under way than asked for."""
    under_way, most = 0, 0
    lock = threading.Lock()

    def items():
        nonlocal under_way, most
        for number in range(50):
            with lock:
                under_way += 1
                most = max(most, under_way)
            yield number

    def work(number):
        time.sleep(0.001 * (number % 3))
        return number

    seen = []
    with ThreadPoolExecutor(4) as pool:
        for result in in_order(pool, work, items(), ahead=5):
            seen.append(result)
            with lock:
                under_way -= 1
    assert seen == list(range(50))
    assert most <= 6


class Place(Stage):
    kind: ClassVar[str] = "place"
    gives: ClassVar[type | None] = Item
    takes: ClassVar[type | None] = Item
    may_begin: ClassVar[bool] = True

    def inverse(self, items: Stream[int], run: Run[Log]) -> Iterator[Any]:
        run.context.lines += items.in_processes(lambda made: [(n, os.getpid()) for n in made])
        yield from ()


class Double(Stage):
    kind: ClassVar[str] = "double"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Item
    itemwise: ClassVar[bool] = True
    backwards: ClassVar[str] = "twice"
    fail_at: int = -1

    def inverse(self, items: Iterator[int], run: Run[Log]) -> Iterator[int]:
        for number in items:
            if number == self.fail_at:
                raise OSError(5, "Input/output error", str(number))
            yield number
            yield number


def back(**changes):
    """Run `place` in reverse: it gets each of 0, 1, 2 four times, made elsewhere."""
    document = {
        "place": {"kind": "place"},
        "once": {"kind": "double", "after": ["place"]},
        "again": {"kind": "double", "after": ["once"]},
        "end": {"kind": "take", "after": ["again"]},
    }
    for name, change in changes.items():
        document[name] = document[name] | change
    events: list[Any] = []
    log = Log()
    graph = Graph.build(document, (Place, Double, Take)).reverse("again", Node("give", Give()))
    return execute(graph, Run(log, Shared([events.append]))), log, events


def test_stages_that_go_back_item_by_item_do_so_in_the_processes_of_who_takes_from_them():
    """In order; and each of them begins and ends once."""
    outcome, log, events = back()
    assert (outcome.failed, outcome.skipped) == ({}, {})
    assert [n for result in log.lines for n, _ in result] == [0] * 4 + [1] * 4 + [2] * 4
    assert os.getpid() not in {pid for result in log.lines for _, pid in result}
    for kind in (Started, Finished):
        ended = [event.stage for event in events if isinstance(event, kind)]
        assert sorted(ended) == ["again", "give", "once", "place"]


@pytest.mark.parametrize("stage", ["once", "again"])
def test_it_is_the_stage_that_fails_in_another_process_that_has_failed(stage):
    """What it gave before is there, what depends on it is skipped."""
    outcome, _, events = back(**{stage: {"fail_at": 1}})
    assert list(outcome.failed) == [stage]
    assert str(outcome.failed[stage]) == "[Errno 5] Input/output error: '1'"
    assert outcome.skipped["place"] == stage
    assert [event.stage for event in events if isinstance(event, Failed)] == [stage]
