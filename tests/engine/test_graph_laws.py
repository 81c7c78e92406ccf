"""Laws of the graph, with the real stage kinds."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph import Graph, GraphFaults, Node
from engine.stage import FanOut, Scope
from stages.collect import Collect
from stages.containers import Containers
from stages.encrypt import Encrypt
from stages.items import Part, Sealed
from stages.kinds import KINDS
from stages.select import Select
from stages.spool import SpoolStage
from stages.upload import Upload

GOLDEN = Path(__file__).parent / "golden"
PARAMS = {
    "collect": {"path": "/srv"},
    "upload": {"destination": "d"},
    "confirm": {"destination": "d"},
    "catch_up": {"destination": "d", "keep": 3},
    "prune": {"destination": "d", "keep": 3},
    "command": {"command": "true"},
    "containers": {"names": ["c"]},
}
SERVICE = {
    "survey": {"kind": "survey"},
    "pre_backup": {"kind": "command", "command": "true", "after": ["survey"]},
    "stop": {"kind": "containers", "names": ["c"], "after": ["pre_backup"]},
    "collect": {"kind": "collect", "path": "/srv", "after": ["stop"]},
    "start": {"releases": "stop", "after": ["collect"]},
    "post_backup": {"kind": "command", "command": "true", "after": ["start"]},
    "chunk": {"kind": "chunk", "after": ["collect"]},
    "pack": {"kind": "pack", "after": ["chunk"]},
    "compress": {"kind": "compress", "after": ["pack"]},
    "encrypt": {"kind": "encrypt", "after": ["compress"]},
    "spool": {"kind": "spool", "after": ["encrypt"]},
    "upload:s3": {"kind": "upload", "destination": "s3", "after": ["spool"]},
    "confirm:s3": {"kind": "confirm", "destination": "s3", "after": ["upload:s3"]},
    "catch_up:nas": {"kind": "catch_up", "destination": "nas", "keep": 3, "after": ["spool"]},
    "upload:nas": {"kind": "upload", "destination": "nas", "after": ["catch_up:nas"]},
    "confirm:nas": {"kind": "confirm", "destination": "nas", "after": ["upload:nas"]},
    "prune:nas": {"kind": "prune", "destination": "nas", "keep": 3, "after": ["confirm:nas"]},
    "last": {"kind": "command", "command": "true", "after": ["confirm:s3", "prune:nas"]},
}
DOWN = ["chunk", "pack", "compress", "encrypt", "spool", "upload:nas"]


def build(spec):
    return Graph.build(spec, KINDS)


def faults(spec):
    with pytest.raises(GraphFaults) as caught:
        build(spec)
    return caught.value.faults


def test_golden_faults():
    """Each mistake of a document is told once, in words that say what to write instead."""
    found = faults(yaml.safe_load((GOLDEN / "pipeline.yaml").read_text()))
    assert "\n".join(found) + "\n" == (GOLDEN / "pipeline.txt").read_text()


words = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.sampled_from(sorted(SERVICE)))
rubbish = st.recursive(
    words, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4
)
keys = st.sampled_from(["kind", "after", "releases", "path", "keep", "destination"])
stages = st.dictionaries(keys, rubbish | st.sampled_from([kind.kind for kind in KINDS]))


@given(st.dictionaries(st.sampled_from(sorted(SERVICE)), rubbish | stages, max_size=6))
def test_whatever_is_written_builds_or_is_told_as_faults(changes):
    """No document makes the builder fall over: it gives a graph, or faults that name a stage."""
    found = faults_or_none(SERVICE | changes)
    assert len(set(found)) == len(found)
    assert all(fault.split(":")[0].split(".")[0] for fault in found)


def faults_or_none(spec):
    try:
        graph = build(spec)
    except GraphFaults as error:
        return error.faults or ["none, though it did not build"] * 2
    assert len(graph.order) == len(spec)
    return []


@pytest.mark.parametrize("name", [name for name in SERVICE if name not in ("stop", "start")])
def test_one_mistake_is_one_fault(name):
    """A stage of an unknown kind, or with a wrong parameter, does not fault the ones around it."""
    after = SERVICE[name].get("after", [])
    assert len(faults(SERVICE | {name: {"kind": "typo", "after": after}})) == 1
    assert len(faults(SERVICE | {name: SERVICE[name] | {"colour": "red"}})) == 1
    assert len(faults(SERVICE | {name: SERVICE[name] | {"after": [*after, "nowhere"]}})) == 1


def test_only_fitting_kinds_stand_behind_each_other():
    """For every two kinds: what takes items stands only behind what gives just these."""
    for one, other in itertools.product(KINDS, KINDS):
        spec = {
            "one": {"kind": one.kind, **PARAMS.get(one.kind, {})},
            "other": {"kind": other.kind, "after": ["one"], **PARAMS.get(other.kind, {})},
        }
        found = [fault for fault in faults_or_none(spec) if fault.startswith("other: takes")]
        begins = other.may_begin and one.gives is None
        fits = other.takes is None or one.gives is other.takes or begins
        assert bool(found) != fits, (one.kind, other.kind)


def test_only_encryption_gives_what_may_be_stored():
    """Law 5: of all kinds only `encrypt` makes sealed things, and only `spool` makes parts."""
    assert [kind for kind in KINDS if kind.gives is Sealed] == [Encrypt]
    assert [kind for kind in KINDS if kind.gives is Part and kind.takes is not Part] == [SpoolStage]
    assert SpoolStage.takes is Sealed
    assert Upload.takes is Part


names = st.sampled_from([kind.kind for kind in KINDS])
edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@settings(max_examples=200)
@given(st.lists(names, min_size=1, max_size=4), edges, st.booleans())
def test_no_graph_leads_plaintext_to_a_destination(more, extra, rewire):
    """Law 5: in whatever graph that builds, what feeds an upload has gone through `encrypt`."""
    kinds = ["collect", "chunk", "pack", "compress", "encrypt", "spool", "upload", *more]
    spec = {
        f"{number}": {"kind": kind, "after": [], **PARAMS.get(kind, {})}
        for number, kind in enumerate(kinds)
    }
    for number in range(1, 7):
        if not rewire or number % 3:
            spec[f"{number}"]["after"] = [f"{number - 1}"]
    for a, b in extra:
        if b < len(kinds):
            spec[f"{b}"]["after"].append(f"{min(a, len(kinds) - 1)}")
    try:
        graph = build(spec)
    except GraphFaults:
        return
    for node in graph.order:
        if isinstance(node.stage, Upload):
            way = [node]
            while feeder := graph.feeder(way[-1].name):
                way.append(feeder)
            assert any(isinstance(n.stage, Encrypt) for n in way)
            assert isinstance(way[-1].stage, Collect)


def test_graph_and_way_back_do_not_depend_on_hashes():
    """Order and edges of a graph, forward and in reverse, are the same under every hash seed."""
    script = (
        "import json; from tests.engine.test_graph_laws import *; g = build(SERVICE);"
        "views = [g, g.reverse('upload:nas', Node('select', Select())),"
        " g.reverse('upload:s3', Node('select', Select()))];"
        "print(json.dumps([[[n.name for n in v.order], v.edges(),"
        " [[b.name for b in v.before(n.name)] for n in v.order]] for v in views]))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "3", "42")
    }
    assert len(seen) == 1
    [order, _, _], _, _ = json.loads(seen.pop())
    assert order == list(SERVICE)


@pytest.mark.parametrize("place", ["nas", "s3"])
def test_the_way_back_keeps_one_branch_and_drops_what_has_no_inverse(place):
    """It begins with `select`, ends with `collect`, and holds the containers around the writing."""
    back = build(SERVICE).reverse(f"upload:{place}", Node("select", Select()))
    names = [node.name for node in back.order]
    assert names[0] == "select"
    assert set(names) == {"select", "stop", "start", "collect", *DOWN[:-1], f"upload:{place}"}
    assert [back.nodes[n].releases for n in ("stop", "start")] == [None, "stop"]
    assert isinstance(back.nodes["stop"].stage, Containers)
    for earlier, later in [("stop", "collect"), ("collect", "start"), ("chunk", "collect")]:
        assert later in back.downstream(earlier)
    way = ["select"]
    while fed := back.fed(way[-1]):
        [one] = fed
        way.append(one.name)
    assert way == ["select", f"upload:{place}", *reversed(DOWN[:-1]), "collect"]


def test_what_ordered_through_a_dropped_stage_stays_ordered():
    """A stage without an inverse falls out of the way back; the order it gave does not."""
    spec = SERVICE | {
        "between": {"kind": "command", "command": "true", "after": ["stop"]},
        "collect": SERVICE["collect"] | {"after": ["between"]},
    }
    back = build(spec).reverse("upload:nas", Node("select", Select()))
    assert "collect" in back.downstream("stop")
    assert "start" in back.downstream("collect")


def test_kinds_are_what_they_say():
    """Names are unique, a scope takes and gives nothing, and only the spool is a fan-out."""
    assert len({kind.kind for kind in KINDS}) == len(KINDS)
    assert all(kind.takes is kind.gives is None for kind in KINDS if issubclass(kind, Scope))
    assert [kind for kind in KINDS if issubclass(kind, FanOut)] == [SpoolStage]
