"""Graph: checked as a whole, with inferred link types, and reversed without special cases."""

import itertools
import json
import os
import subprocess
import sys
from typing import ClassVar

import pytest

from engine.graph import Graph, GraphFaults, Node
from stages.kinds import KINDS
from tests.engine.pipelines import SERVICE, build
from tests.helpers.troubled import KINDS as TROUBLED
from tests.helpers.troubled import SPEC, Item, Source, Through, World


class Cooked: ...


class Cook(Source):
    kind: ClassVar[str] = "cook"
    takes: ClassVar[type | None] = Item
    gives: ClassVar[type | None] = Cooked


class Eat(Through):
    kind: ClassVar[str] = "eat"
    takes: ClassVar[type | None] = Cooked
    gives: ClassVar[type | None] = Cooked


def make(document):
    return Graph.build(document, (*TROUBLED, Cook, Eat), [World])


def faults(document):
    with pytest.raises(GraphFaults) as caught:
        make(document)
    return caught.value.faults


def after(kind, *before, **params):
    return {"kind": kind, "after": list(before), **params}


def test_every_fault_is_reported_at_once():
    document = {
        "light": {"kind": "hold"},
        "fry": {"kind": "frying"},
        "source": {"kind": "source", "fail": 1, "colour": 1},
        "cook": after("cook", "sorce"),
        "a": after("step", "b"),
        "b": after("step", "a"),
        "c": after("step", "d"),
        "d": after("step", "c"),
        "out": {"releases": "a"},
    }
    found = faults(document)
    assert found[0].startswith("fry: unknown stage kind 'frying'; known kinds: cook, eat, fan,")
    assert found[1:] == [
        "source.fail: Input should be a valid string",
        "source.colour: Extra inputs are not permitted",
        "out: releases 'a', which is not a scope",
        "cook: comes after 'sorce', which is not a stage of this pipeline",
        "a: waits for itself: a -> b -> a",
        "c: waits for itself: c -> d -> c",
        "light: acquires something that no stage releases",
    ]


def test_ports_must_fit_also_through_links():
    document = {"source": {"kind": "source"}, "eat": after("eat", "source")}
    assert faults(document) == ["eat: takes Cooked, but source gives Item"]
    document |= {"pass": after("pass", "source"), "eat": after("eat", "pass")}
    assert faults(document) == ["eat: takes Cooked, but pass gives Item"]


def test_links_give_what_they_take_of_any_type():
    """A scope, a fan-out's branch and a link after a link infer the type; a head gives nothing."""
    chain = ["source", "one", "hold", "two", "free", "cook", "three", "eat"]
    kinds = {"one": "pass", "two": "pass", "three": "pass"}
    document = {"source": {"kind": "source"}}
    for before, name in itertools.pairwise(chain):
        document[name] = after(kinds.get(name, name), before)
    document["free"] = {"releases": "hold", "after": ["two"]}
    assert [[node.name for node in one] for one in make(document).chains()] == [chain]
    del document["source"]
    document["one"] = {"kind": "pass"}
    assert faults(document) == ["cook: takes Item, but nothing before it gives that"]


def test_only_a_fan_out_feeds_several():
    document = {
        "source": {"kind": "source"},
        "one": after("cook", "source"),
        "two": after("cook", "source"),
    }
    assert faults(document) == ["source: feeds one, two; only a fan-out feeds several"]


def test_reversed_fan_out_feeds_one():
    """It gives what its branches give as a single stream; a second reader would never run."""
    document = {
        "source": {"kind": "source"},
        "fan": after("fan", "source", inverse=True),
        "a": after("through", "fan"),
        "b": after("through", "fan"),
    }
    assert faults(document) == ["fan: feeds a, b; only a fan-out feeds several"]


def test_stage_is_fed_by_one():
    document = {"s1": {"kind": "source"}, "s2": {"kind": "source"}}
    assert faults(document | {"cook": after("cook", "s1", "s2")}) == [
        "cook: is fed by s1, s2; at most one stage may feed it"
    ]


def test_chains_that_wait_for_each_other_are_refused():
    """No stage waits for itself, but a chain begins as a whole, so this would hang."""
    document = {
        "source": {"kind": "source"},
        "between": after("step", "source"),
        "cook": after("cook", "source", "between"),
    }
    assert faults(document) == ["source: chains wait for each other: source -> between -> source"]
    document = {
        "s1": {"kind": "source"},
        "s2": {"kind": "source"},
        "c1": after("through", "s1", "end2"),
        "c2": after("through", "s2", "end1"),
        "end1": after("step", "s1"),
        "end2": after("step", "s2"),
    }
    [fault] = faults(document)
    assert fault.startswith("s1: chains wait for each other: s1 -> ")


def test_scope_begins_and_ends_in_one_chain():
    """Otherwise it would not be released if a stage between its two links fails."""
    document = {
        "hold": {"kind": "hold"},
        "step": after("step", "hold"),
        "free": {"releases": "hold", "after": ["step"]},
    }
    assert faults(document) == ["free: releases 'hold', whose items do not flow to it"]
    document = SPEC | {"start": {"releases": "stop", "after": ["b"]}}
    document["pack"] = after("pass", "inside")
    assert "start: releases 'stop', whose items do not flow to it" in faults(document)


def test_order_is_that_of_the_document_where_the_edges_leave_it_open():
    names = ["first", "source", "stop", "inside", "start", "pack", "fan", "a", "a2", "b"]
    assert [node.name for node in make(SPEC).order] == [*names, "after_start", "after_a", "end"]


def test_reversal_keeps_one_branch_and_swaps_the_links_of_a_scope():
    back = make(SPEC).reverse("a2", [Node("lead", Source())], [World])
    assert [(n.name, n.releases) for n in back.order] == [
        ("lead", None), ("a2", None), ("a", None), ("fan", None), ("stop", None),
        ("inside", None), ("start", "stop"), ("source", None),
    ]  # fmt: skip
    assert back.nodes["inside"].label == "hguorht"
    assert [[node.name for node in chain] for chain in back.chains()] == [
        ["lead", "a2", "a", "fan", "stop", "inside", "start", "source"]
    ]


@pytest.mark.parametrize("destination", ["nas", "s3"])
def test_way_back_of_a_service_writes_stops_swaps_starts(destination):
    """Stages without an inverse are dropped: commands, catch-up, confirm, prune, warm."""
    way = [f"upload:{destination}", "spool", "encrypt", "compress", "pack", "chunk", "gather",
           "stop", "collect", "start"]  # fmt: skip
    nodes = [Node("select", KINDS[-2]()), Node("locate", KINDS[-1]())]
    given = tuple({need for node in build(SERVICE).order for need in node.stage.inverse_needs})
    given += tuple(need for node in nodes for need in node.needs)
    back = build(SERVICE).reverse(f"upload:{destination}", nodes, given)
    assert [node.name for node in back.order] == ["select", "locate", *way]
    assert [[n.name for n in chain] for chain in back.chains()] == [["select"], ["locate", *way]]
    assert back.nodes["start"].releases == "stop"


def test_stages_ordered_through_a_dropped_stage_stay_ordered():
    class Both(TROUBLED[3]):
        kind = "both"

        def inverse(self, items, run):
            yield from items

    document = {"one": {"kind": "both"}, "step": after("step", "one"), "two": after("both", "step")}
    graph = Graph.build(document, (*TROUBLED, Both), [World])
    back = graph.reverse("two", [Node("lead", Both())], [World])
    assert back.edges() == [("lead", "two"), ("two", "one")]


@pytest.mark.thorough
def test_order_and_way_back_do_not_depend_on_hashes():
    script = (
        "import json; from tests.engine.test_graph import *; g = make(SPEC);"
        "views = [g, build(SERVICE), g.reverse('b', [Node('lead', Source())], [World])];"
        "print(json.dumps([[[n.name for n in v.order], v.edges(),"
        " [[n.name for n in c] for c in v.chains()]] for v in views]))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(seen) == 1
    [[order, _, _], _, _] = json.loads(seen.pop())
    assert order == list(SPEC)
