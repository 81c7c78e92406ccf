"""A graph is validated as a whole, and turned around without a special case."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from engine.graph import Graph, GraphFaults, Node
from engine.stage import FanOut, Scope, Stage
from stages.kinds import KINDS


class Raw: ...


class Cooked: ...


class Source(Stage):
    kind: ClassVar[str] = "source"
    gives: ClassVar[type | None] = Raw
    size: int = 1

    def inverse(self, items: Iterator[Any], run: Any) -> Iterator[Any]:
        yield from items


class Cook(Stage):
    kind: ClassVar[str] = "cook"
    takes: ClassVar[type | None] = Raw
    gives: ClassVar[type | None] = Cooked
    backwards: ClassVar[str] = "uncook"

    def inverse(self, items: Iterator[Any], run: Any) -> Iterator[Any]:
        yield from items


class Table(FanOut):
    kind: ClassVar[str] = "table"
    takes: ClassVar[type | None] = Cooked
    gives: ClassVar[type | None] = Cooked

    def inverse(self, items: Iterator[Any], run: Any) -> Iterator[Any]:
        yield from items


class Eat(Stage):
    kind: ClassVar[str] = "eat"
    takes: ClassVar[type | None] = Cooked
    gives: ClassVar[type | None] = Cooked

    def inverse(self, items: Iterator[Any], run: Any) -> Iterator[Any]:
        yield from items


class Note(Stage):
    kind: ClassVar[str] = "note"


class Fire(Scope):
    kind: ClassVar[str] = "fire"


class Start(Stage):
    kind: ClassVar[str] = "start"
    gives: ClassVar[type | None] = Cooked


KITCHEN = (Source, Cook, Table, Eat, Note, Fire)
MEAL = {
    "note": {"kind": "note"},
    "light": {"kind": "fire", "after": ["note"]},
    "source": {"kind": "source", "after": ["light"]},
    "out": {"releases": "light", "after": ["source"]},
    "cook": {"kind": "cook", "after": ["source"]},
    "table": {"kind": "table", "after": ["cook"]},
    "eat:a": {"kind": "eat", "after": ["table"]},
    "eat:b": {"kind": "eat", "after": ["table"]},
    "last": {"kind": "note", "after": ["eat:a", "eat:b"]},
}


def faults(spec):
    with pytest.raises(GraphFaults) as caught:
        Graph.build(spec, KITCHEN)
    return caught.value.faults


def test_every_fault_is_reported_at_once():
    """One build names each thing that is wrong, not the first."""
    spec = {
        "light": {"kind": "fire"},
        "fry": {"kind": "frying"},
        "source": {"kind": "source", "size": "huge", "colour": 1},
        "cook": {"kind": "cook", "after": ["sorce"]},
        "eat": {"kind": "eat", "after": ["cook"]},
        "a": {"kind": "note", "after": ["b"]},
        "b": {"kind": "note", "after": ["a"]},
        "out": {"releases": "a"},
    }
    assert faults(spec) == [
        "fry: unknown stage kind 'frying'; known kinds: cook, eat, fire, note, source, table",
        "source.size: Input should be a valid integer, unable to parse string as an integer",
        "source.colour: Extra inputs are not permitted",
        "out: releases 'a', which is not a scope",
        "cook: comes after 'sorce', which is not a stage of this pipeline",
        "a: waits for itself: a -> b -> a",
        "light: acquires something that no stage releases",
    ]


def test_ports_must_fit():
    """What flows out of a stage is what the next one takes."""
    spec = {"source": {"kind": "source"}, "eat": {"kind": "eat", "after": ["source"]}}
    assert faults(spec) == ["eat: takes Cooked, but source gives Raw"]


def test_only_a_fan_out_feeds_several():
    """A stage that is no fan-out has one reader."""
    spec = {
        "source": {"kind": "source"},
        "one": {"kind": "cook", "after": ["source"]},
        "two": {"kind": "cook", "after": ["source"]},
    }
    assert faults(spec) == ["source: feeds one, two; only a fan-out feeds several"]


def test_a_stage_is_fed_by_one():
    """Two feeders are a fault."""
    spec = {
        "s1": {"kind": "source"},
        "s2": {"kind": "source"},
        "cook": {"kind": "cook", "after": ["s1", "s2"]},
    }
    assert faults(spec) == ["cook: is fed by s1, s2; one is the most"]


def test_the_order_is_the_same_every_time():
    """What the spec leaves open is in the spec's own order; `test_graph_laws` tries hash seeds."""
    names = ["note", "light", "source", "out", "cook", "table", "eat:a", "eat:b", "last"]
    assert [node.name for node in Graph.build(MEAL, KITCHEN).order] == names


def test_a_graph_that_is_right_loads_no_library():
    """Building and turning one around does without what explains a wrong one: that is slow."""
    code = (
        "import sys\nfrom tests.engine.test_graph import *\n"
        "Graph.build(MEAL, KITCHEN).reverse('eat:a', Node('start', Start()))\n"
        "print('networkx' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_reversal_keeps_one_branch_and_swaps_the_scope():
    """The way back starts at the source it is given, and holds the scope around the writing."""
    back = Graph.build(MEAL, KITCHEN).reverse("eat:a", Node("start", Start()))
    assert [node.name for node in back.order] == [
        "start", "eat:a", "table", "cook", "light", "source", "out",
    ]  # fmt: skip
    assert back.nodes["out"].releases == "light"
    assert back.nodes["light"].releases is None
    assert back.nodes["cook"].label == "uncook"
    assert [node.name for node in back.before("source")] == ["light", "cook"] or {
        node.name for node in back.before("source")
    } == {"light", "cook"}


def test_plaintext_cannot_reach_a_destination():
    """Law 5: whatever is put before an upload, the graph builds only behind encrypt and spool."""
    trunk = ["collect", "chunk", "pack", "compress", "encrypt"]
    params = {"collect": {"path": "/x"}, "upload": {"destination": "d"}}
    for last in trunk:
        spec: dict[str, Any] = {}
        before: list[str] = []
        for kind in [*trunk[: trunk.index(last) + 1], "upload"]:
            spec[kind] = {"kind": kind, "after": before, **params.get(kind, {})}
            before = [kind]
        with pytest.raises(GraphFaults, match="upload: takes Part, but"):
            Graph.build(spec, KINDS)
        spec["spool"] = {"kind": "spool", "after": [last]}
        spec["upload"]["after"] = ["spool"]
        if last == "encrypt":
            Graph.build(spec, KINDS)
        else:
            with pytest.raises(GraphFaults, match="spool: takes Sealed, but"):
                Graph.build(spec, KINDS)
