"""Facts and resources: declared, provided once, awaited across threads, closed in reverse."""

import threading
import time

import pytest

from engine.events import Failed, Finished
from engine.facts import Facts, Unavailable
from engine.graph import Graph
from engine.run import Cancelled, Run, Shared
from engine.stage import Link, Scope
from engine.wiring import execute
from tests.engine.asking import KINDS, Ask, Heard, Note, Other, after, failed, faults, go
from tests.helpers.troubled import Fan, Item, World


def test_need_without_a_provider_is_refused_by_name():
    """A provider that comes later, or in parallel, does not count."""
    document = {"ask": {"kind": "ask"}, "step": {"kind": "step"}, "tell": after("tell", "step")}
    assert faults(document) == ["ask: needs Note, but no stage before it provides it"]


def test_fact_given_by_the_program_needs_no_provider():
    outcome, heard, _ = go({"ask": {"kind": "ask"}}, Note("given"))
    assert (outcome.failed, heard) == ({}, [("ask", "given")])


def test_two_providers_are_refused():
    document = {"one": {"kind": "tell"}, "two": after("tell", "one"), "ask": after("ask", "two")}
    assert faults(document) == ["ask: one and two provide Note; only one may"]
    document["ask"] = after("use", "two")
    assert faults(document) == ["ask: one and two provide Note; only one may"]


def test_unknown_stage_before_causes_no_second_fault():
    """The unknown stage may be the one that provides the fact."""
    [fault] = faults({"telll": {"kind": "telll"}, "ask": after("ask", "telll")})
    assert fault.startswith("telll: unknown stage kind")


def test_default_is_used_without_a_provider_and_the_fact_with_one():
    assert go({"use": {"kind": "use"}})[1] == [("use", "default")]
    assert go({"tell": {"kind": "tell"}, "use": after("use", "tell")})[1] == [("use", "tell")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_fact_passes_between_chains_that_only_order(when):
    document = {"tell": {"kind": "tell", "when": when}, "step": after("step", "tell")}
    outcome, heard, _ = go(document | {"ask": after("ask", "step", when="before")})
    assert (outcome.failed, heard) == ({}, [("ask", "tell")])


def test_fact_requested_too_early_in_its_own_chain_is_an_error_at_once():
    """The last stage of a chain starts first: waiting for the first one would never end."""
    document = {"tell": {"kind": "tell"}, "ask": after("ask", "tell", when="before")}
    begun = time.monotonic()
    outcome, heard, _ = go(document)
    assert failed(outcome) == {"ask": "ask asks for Note before tell has provided it"}
    assert outcome.skipped == {"tell": "ask"}
    assert heard == []
    assert time.monotonic() - begun < 1
    document["ask"]["when"] = "after"
    assert go(document)[1] == [("ask", "tell")]


def test_waiting_stage_is_skipped_because_of_the_stage_that_failed():
    """If the provider itself was skipped, the reason is the first failure."""
    document = {"broken": {"kind": "broken"}, "tell": after("tell", "broken")}
    outcome, heard, _ = go(document | {"step": after("step", "tell"), "ask": after("ask", "step")})
    assert failed(outcome) == {"broken": "broken"}
    assert outcome.skipped == dict.fromkeys(["tell", "step", "ask"], "broken")
    assert heard == []


def branches(**tell):
    """Return a trunk that provides a note, and a branch that needs it before its first item."""
    return {
        "source": {"kind": "source"},
        "tell": after("tell", "source", **tell),
        "fan": after("fan", "tell"),
        "ask": after("ask", "fan", when="before"),
        "behind": after("ask", "ask"),
    }


def test_fact_is_waited_for_across_threads():
    outcome, heard, _ = go(branches(wait=0.3))
    assert outcome.failed == {}
    assert heard == [("ask", "tell"), ("behind", "tell")]


def test_waiting_across_threads_ends_when_the_provider_fails():
    outcome, heard, _ = go(branches(when="fail", wait=0.2))
    assert failed(outcome) == {"tell": "no note"}
    assert outcome.skipped == dict.fromkeys(["source", "fan", "ask", "behind"], "tell")
    assert heard == []


def test_waiting_for_a_fact_is_cancellable():
    board, cancelled = Facts(), threading.Event()

    def check():
        if cancelled.is_set():
            raise Cancelled

    threading.Timer(0.2, cancelled.set).start()
    threading.Timer(3, board.end, ("tell", None)).start()  # so that this test ends
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        board.wait(Note, "tell", check)
    assert time.monotonic() - begun < 2
    board.end("other", "first")
    with pytest.raises(Unavailable, match="first"):
        board.wait(Note, "other", lambda: None)


def test_fact_is_provided_once():
    outcome, _, _ = go({"tell": {"kind": "tell", "when": "twice"}})
    assert failed(outcome) == {"tell": "tell provides Note a second time"}


def test_undeclared_fact_cannot_be_provided_nor_asked_for():
    outcome, _, _ = go({"tell": {"kind": "tell", "when": "undeclared"}})
    assert "tell does not declare that it provides" in failed(outcome)["tell"]
    document = {"tell": {"kind": "tell"}, "ask": after("ask", "tell", when="undeclared")}
    assert failed(go(document)[0]) == {"ask": "ask does not declare that it needs Other"}


def test_stage_that_ends_without_providing_what_it_declares_fails():
    outcome, _, _ = go({"tell": {"kind": "tell", "when": "never"}, "end": after("step", "tell")})
    assert failed(outcome) == {"tell": "tell ended without providing Note"}
    assert outcome.skipped == {"end": "tell"}


def test_stage_that_is_not_read_to_its_end_still_owes_its_facts():
    class Take(Link):
        kind = "take"

        def forward(self, items, run):
            next(items)
            yield from ()

    document = {
        "source": {"kind": "source"},
        "tell": after("tell", "source", when="after"),
        "take": after("take", "tell"),
        "end": after("step", "tell"),
    }
    graph = Graph.build(document, (*KINDS, Take), [World])
    outcome = execute(graph, Run(Shared(facts=Facts([World()]))))
    assert failed(outcome) == {"tell": "tell ended without providing Note"}
    assert outcome.skipped == {"end": "tell"}


def test_fact_of_a_branch_is_visible_in_that_branch_only():
    """Two destinations may each provide why an archive was not brought."""
    document = {"source": {"kind": "source"}, "fan": after("fan", "source")}
    for name in "ab":
        document[f"tell:{name}"] = after("tell", "fan")
        document[f"ask:{name}"] = after("use", f"tell:{name}")
    document["use:c"] = after("use", "fan")
    outcome, heard, _ = go(document)
    assert sorted(heard) == [("ask:a", "tell:a"), ("ask:b", "tell:b"), ("use:c", "default")]
    assert sorted(note.text for note in outcome.facts_of(Note)) == ["tell:a", "tell:b"]


def test_release_that_lacks_a_fact_is_skipped_because_of_its_provider():
    class Promise(Fan):
        kind = "promise"
        provides = (Note,)

        def forward(self, items, run):
            yield from super().forward(items, run)
            time.sleep(0.3)  # meanwhile the branch acquires, and its release waits

    class Hold(Scope):
        kind = "hold"
        needs = (Note, Heard)

        def acquire(self, run):
            run.fact(Heard).append((run.stage, "acquired"))

        def release(self, run):
            run.fact(Note)

    document = {
        "source": {"kind": "source"},
        "fan": after("promise", "source"),
        "hold": after("hold", "fan"),
        "free": {"releases": "hold", "after": ["hold"]},
        "end": after("step", "free"),
    }
    graph = Graph.build(document, (*KINDS, Promise, Hold), [Heard, World])
    outcome = execute(graph, Run(Shared(facts=Facts([heard := Heard(), World()]))))
    assert heard == [("hold", "acquired")]
    assert failed(outcome) == {"fan": "fan ended without providing Note"}
    assert outcome.skipped == {"free": "fan", "end": "fan"}


@pytest.mark.parametrize("fails", [True, False])
def test_resources_are_closed_in_reverse_after_the_last_stage(fails):
    """An error in closing one of them is an outcome of the stage that opened it."""
    document = {
        "one": {"kind": "open"},
        "two": after("open", fails=fails),
        "three": {"kind": "open"},
        "broken": {"kind": "broken"},
    }
    outcome, heard, events = go(document)
    assert heard == [("three", "closed"), ("two", "closed"), ("one", "closed")]
    expected = {"broken": "broken"} | ({"two": "two does not close"} if fails else {})
    assert failed(outcome) == expected
    last = [type(e) for e in events if e.stage == "two"][-1]
    assert last is (Failed if fails else Finished)


def test_stage_is_tested_alone_with_facts_and_a_list():
    run = Run.alone(Note("alone"), heard := Heard())
    assert list(Ask().forward(iter([Item]), run)) == [Item]
    assert heard == [("stage", "alone")]
    with pytest.raises(LookupError, match="neither a stage nor the program provides Other"):
        run.fact(Other)


def test_release_that_fails_keeps_its_own_error_though_it_owes_a_fact():
    """The message names the original failure, not the fact that is missing because of it."""

    class Hold(Scope):
        kind = "hold"
        release_provides = (Note,)

        def acquire(self, run):
            pass

        def release(self, run):
            raise OSError("the container is ill")

    document = {"hold": {"kind": "hold"}, "free": {"releases": "hold", "after": ["hold"]}}
    outcome = execute(Graph.build(document, (Hold,)), Run(Shared()))
    assert failed(outcome) == {"free": "the container is ill"}
