"""Documents: every fault is reported at once, and a graph prints the document that builds it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph import Graph, GraphFaults, Node
from stages.given import GIVEN as JOBS
from stages.kinds import KINDS
from stages.locate import Locate
from stages.select import Select
from tests.engine.pipelines import PARAMS, SERVICE, build, faults
from tests.helpers.sampling import examples

SCOPES = ("stop", "start", "pre_backup", "post_backup")
GOLDEN = Path(__file__).parent / "golden"


def test_golden_faults():
    """Each mistake in a document is reported once, and the message says what to write instead."""
    found = faults(yaml.safe_load((GOLDEN / "pipeline.yaml").read_text()))
    found = [fault.replace(", ".join(sorted(k.kind for k in KINDS)), "KINDS") for fault in found]
    assert "\n".join(found) + "\n" == (GOLDEN / "pipeline.txt").read_text()


words = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.sampled_from(sorted(SERVICE)))
rubbish = st.recursive(
    words, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4
)
keys = st.sampled_from(["kind", "after", "releases", "inverse", "path", "keep", "destination"])
stages = st.dictionaries(keys, rubbish | st.sampled_from([kind.kind for kind in KINDS]))


@settings(max_examples=examples(20))
@given(st.dictionaries(st.sampled_from(sorted(SERVICE)), rubbish | stages, max_size=6))
def test_any_document_builds_or_is_reported_as_faults(changes):
    """No document crashes the builder: it returns a graph, or faults that name a stage."""
    spec, found = SERVICE | changes, []
    try:
        assert len(build(spec).order) == len(spec)
    except GraphFaults as error:
        found = error.faults or [""]
    assert len(set(found)) == len(found)
    assert all(fault.split(":")[0].split(".")[0] for fault in found)


@pytest.mark.parametrize("name", [name for name in SERVICE if name not in SCOPES])
def test_one_mistake_is_one_fault(name):
    """A stage of an unknown kind, or with a wrong parameter, does not cause faults in others."""
    after = SERVICE[name].get("after", [])
    assert len(faults(SERVICE | {name: {"kind": "typo", "after": after}})) == 1
    assert len(faults(SERVICE | {name: SERVICE[name] | {"colour": "red"}})) == 1
    assert len(faults(SERVICE | {name: SERVICE[name] | {"after": [*after, "nowhere"]}})) == 1


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("survey", "Holdings"),
        ("base", "Base"),
        ("collect", "SourceReport"),
        ("source", "Spool"),
        ("preflight", "Roots"),
    ],
)
def test_document_without_a_provider_is_refused_by_the_missing_fact(name, missing):
    """Such a document once sealed an archive without a time, which no listing could read."""
    spec = {other: dict(params) for other, params in SERVICE.items() if other != name}
    for params in spec.values():
        before = params.get("after", [])
        params["after"] = [b for b in before if b != name]
        if name in before:
            params["after"] += SERVICE[name].get("after", [])
    found = faults(spec)
    assert any(f"needs {missing}, but no stage before it provides it" in fault for fault in found)


def same(one: Graph, other: Graph) -> None:
    """Assert that two graphs are the same."""
    assert one.order == other.order
    assert set(one.edges()) == set(other.edges())
    assert one.providers == other.providers
    assert one.chains() == other.chains()


def lead():
    return [Node("select", Select(paths=("a",))), Node("locate", Locate())]


@pytest.mark.parametrize("destination", ["s3", "nas"])
def test_graph_survives_its_document_in_both_directions(destination):
    there = build(SERVICE)
    same(there, build(there.document()))
    back = there.reverse(f"upload:{destination}", lead(), JOBS["restore"])
    again = Graph.build(back.document(), KINDS, JOBS["restore"])
    same(back, again)
    assert [n.reversed for n in again.order] == [False] * 2 + [True] * (len(again.order) - 2)
    assert again.document() == yaml.safe_load(yaml.safe_dump(back.document()))


@settings(max_examples=examples(8))
@given(st.permutations(sorted(SERVICE)))
def test_what_a_document_means_does_not_depend_on_the_order_of_its_entries(names):
    graph = build({name: SERVICE[name] for name in names})
    assert set(graph.edges()) == set(build(SERVICE).edges())
    assert graph.providers == build(SERVICE).providers
    same(graph, build(graph.document()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_survives_its_document(kind):
    """Parameters other than the default are printed, in both directions."""
    node = Node("x", kind(**PARAMS.get(kind.kind, {})), reversed=kind.inverse is not None)
    entry = node.document([])
    assert entry.pop("inverse", False) == node.reversed
    assert entry.pop("kind") == kind.kind
    assert kind(**entry) == node.stage


def test_parameters_of_a_scope_are_written_once():
    """The releasing stage has the parameters of the acquiring one."""
    start = build(SERVICE).nodes["start"]
    assert start.stage == build(SERVICE).nodes["stop"].stage
    assert start.document(["collect"]) == {"releases": "stop", "after": ["collect"]}


def test_inverse_of_a_stage_without_one_is_refused():
    assert "confirm:s3.inverse: confirm has no inverse, or this is not true" in faults(
        SERVICE | {"confirm:s3": SERVICE["confirm:s3"] | {"inverse": True}}
    )
