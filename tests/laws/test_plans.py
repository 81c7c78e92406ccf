"""Plan: it shows exactly what a run does, the same stages in an order that it allows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.containers import house_of
from tests.helpers.house import House
from tests.helpers.plans import assert_allowed, backing_up, in_order, pruning, restoring, verifying
from tests.helpers.sampling import examples
from tests.helpers.trees import differences, fill, noise

commands = st.fixed_dictionaries(
    {}, optional={name: st.just({"command": "true"}) for name in ("pre_backup", "post_backup")}
)
trees = st.dictionaries(
    st.sampled_from(["a", "b/c", "b/d"]), st.sampled_from([b"", b"x", noise(600_000)]), min_size=1
)


@settings(max_examples=examples(5))
@given(st.sampled_from([("one",), ("one", "two")]), commands, st.booleans(), trees, st.data())
def test_every_job_runs_as_planned(tmp_path_factory, at, settings, inc, tree, data):
    """Backups that build on one another, to any number of destinations, with any commands."""
    settings = settings | {"incremental": inc, "post_restore": {"command": "true"}}
    house = House(tmp_path_factory.mktemp("house"), at, keep=1, settings=settings)
    fill(house.source, tree)
    for _ in range(2):
        events = []
        graph, result = backing_up(house, events.append)
        assert (result.status, result.error) == ("done", None)
        assert_allowed(graph, events)
    events = []
    to = str(house.root / "out")
    graph, restored = restoring(house, events.append, to=to)
    assert_allowed(graph, events)
    assert in_order(graph, "select", "locate", "encrypt", "gather")
    assert not {"collect", "post_restore"} & set(graph.nodes)
    assert differences(house.source, house.root / "out") == []
    (house.source / "new").write_bytes(b"new")
    events = []
    graph, restored = restoring(house, events.append)
    assert_allowed(graph, events)
    assert in_order(graph, "gather", "collect", "post_restore")
    assert restored.replaced_folder
    assert not (house.source / "new").exists()
    events = []
    graph, outcome = pruning(house, events.append)
    assert_allowed(graph, events)
    assert set(graph.nodes) == {"survey", *(f"prune:{name}" for name in at)}
    assert not outcome.failed
    events = []
    graph, outcome = verifying(house, events.append)
    assert_allowed(graph, events)
    assert set(graph.nodes) == {"survey", *(f"verify:{name}" for name in at)}
    assert not outcome.failed


@pytest.mark.root
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("with_commands", [True, False])
@pytest.mark.thorough
def test_containers_stop_and_start_as_planned(tmp_path, engine, names, warm, with_commands):
    """Backup and in-place restore: the plan is true about what happens during the downtime."""
    name = engine.run(next(names))
    command = {"command": "true"}
    more = dict.fromkeys(["pre_backup", "post_backup", "post_restore"], command)
    house = house_of(
        tmp_path, engine, name, docker={"warm": warm}, **(more if with_commands else {})
    )
    events = []
    graph, result = backing_up(house, events.append)
    assert (result.status, result.error) == ("done", None)
    assert_allowed(graph, events)
    assert in_order(graph, "warm", "stop", "collect", "start", "gather", "chunk")
    (house.source / "new").write_bytes(b"new")
    events = []
    graph, restored = restoring(house, events.append)
    assert_allowed(graph, events)
    assert in_order(graph, "gather", "stop", "collect", "start")
    assert restored.downtime_seconds is not None
    assert not (house.source / "new").exists()
    assert engine.running(name)
    events = []
    graph, _ = restoring(house, events.append, to=str(tmp_path / "out"))
    assert_allowed(graph, events)
    assert not {"stop", "start", "collect"} & set(graph.nodes)
