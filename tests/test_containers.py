"""Services in containers, on a real Docker engine: stopped, backed up, started, healthy."""

import pytest

from engine.events import Finished
from packrat.backup import back_up
from tests.helpers.house import House
from tests.helpers.trees import differences, fill, noise

pytestmark = pytest.mark.root


@pytest.fixture
def names(engine):
    """Names for containers, which are gone after the test."""
    before = set(engine.docker("ps", "-aq").split())
    yield iter([f"c{n}" for n in range(9)])
    for name in set(engine.docker("ps", "-aq").split()) - before:
        engine.docker("rm", "-f", name)


def house_of(tmp_path, engine, *containers, **more):
    docker = {"containers": list(containers), "host": engine.host, "stop_timeout": 5}
    house = House(tmp_path, settings={"docker": docker | more.pop("docker", {})} | more)
    fill(house.source, {"a": noise(100_000), "b/c": noise(3_000_000, 2)})
    return house


def test_events_in_order(tmp_path, engine, names):
    """The dump, the bulk, the stop, what changed, the start, and then the upload."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, pre_backup={"command": "echo dumped > dump"})
    order = []

    def listen(event):
        if isinstance(event, Finished):
            order.append(event.stage)

    result = back_up(house.pipeline(), [listen])
    assert (result.status, result.error, result.warnings) == ("done", None, [])
    order = [stage.partition(":")[0] for stage in order]
    expected = ["survey", "preflight", "pre_backup", "warm", "stop", "collect", "start", "upload"]
    assert [stage for stage in order if stage in expected] == expected
    assert engine.running(name)
    assert result.downtime_seconds < 5
    assert differences(house.source, house.restore()) == []
