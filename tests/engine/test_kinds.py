"""Real kinds of stages: only matching ones can be connected, and plaintext stays local."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph import GraphFaults
from engine.stage import FanOut, Link
from stages.collect import Collect
from stages.encrypt import Encrypt
from stages.items import Part, Sealed
from stages.kinds import KINDS
from stages.spool import SpoolStage
from stages.upload import Upload
from tests.engine.pipelines import PARAMS, SERVICE, build, faults
from tests.helpers.sampling import examples


def after(kind, *before, **params):
    return {"kind": kind, "after": list(before), **params}


def test_only_matching_kinds_follow_each_other():
    """For every two kinds: one that takes items only follows one that gives exactly that type."""
    for one, other in itertools.product(KINDS, KINDS):
        document = {
            "one": {"kind": one.kind, **PARAMS.get(one.kind, {})},
            "other": after(other.kind, "one", **PARAMS.get(other.kind, {})),
        }
        try:
            build(document)
            found = []
        except GraphFaults as error:
            found = [fault for fault in error.faults if fault.startswith("other: takes")]
        fits = other.takes is None or one.gives is other.takes
        assert bool(found) != fits, (one.kind, other.kind)


def test_only_encryption_makes_items_that_may_be_stored():
    """Law 5: of all kinds only `encrypt` gives sealed items, and only `spool` gives parts."""
    assert [kind for kind in KINDS if kind.gives is Sealed] == [Encrypt]
    assert [kind for kind in KINDS if kind.gives is Part and kind.takes is not Part] == [SpoolStage]
    assert SpoolStage.takes is Sealed
    assert Upload.takes is Part
    assert all(kind.takes is kind.gives is None for kind in KINDS if issubclass(kind, Link))
    assert [kind for kind in KINDS if issubclass(kind, FanOut)] == [SpoolStage]
    assert len({kind.kind for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("last", ["collect", "gather", "chunk", "pack", "compress"])
def test_plaintext_cannot_reach_a_destination(last):
    """Law 5: an upload is refused behind any stage before `encrypt`, also through a spool."""
    document = {
        name: params
        for name, params in SERVICE.items()
        if name in [*list(SERVICE)[: list(SERVICE).index(last) + 1], "start", "post_backup"]
    }
    document["upload"] = after("upload", last, destination="d")
    if last == "collect":
        document["start"] = {"releases": "stop", "after": ["upload"]}
    assert any(fault.startswith("upload: takes Part, but") for fault in faults(document))
    document["spool"] = after("spool", last)
    document["upload"]["after"] = ["spool"]
    assert any(fault.startswith("spool: takes Sealed, but") for fault in faults(document))


names = st.sampled_from([kind.kind for kind in KINDS])
edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6)


@settings(max_examples=examples(20))
@given(st.lists(names, max_size=2), edges)
def test_no_graph_leads_plaintext_to_a_destination(more, extra):
    """Law 5: in any graph that builds, what feeds an upload has gone through `encrypt`."""
    document = {name: dict(params) for name, params in SERVICE.items()}
    document |= {f"more{n}": after(kind, **PARAMS.get(kind, {})) for n, kind in enumerate(more)}
    for a, b in extra:
        document[list(document)[-1 - b]]["after"] = [list(document)[-1 - a]]
    try:
        graph = build(document)
    except GraphFaults:
        return
    for node in graph.order:
        if isinstance(node.stage, Upload):
            way = [node]
            while feeder := graph.feeder(way[-1].name):
                way.append(feeder)
            assert any(isinstance(n.stage, Encrypt) for n in way)
            assert any(isinstance(n.stage, Collect) for n in way)
