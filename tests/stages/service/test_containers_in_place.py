"""In-place restore of a service in containers: they stop for it if they run, and run after it."""

import os
import signal

import pytest

from packrat.restore.choose import choose
from packrat.restore.undo import undo
from packrat.runs.repair import repair
from stages import containers, linux
from stages.errors import SourceError
from tests.helpers.containers import done, house_of
from tests.helpers.forked import ended, restoring_in_place, signalling
from tests.helpers.restoring import restore
from tests.helpers.sampling import sample
from tests.helpers.trees import fill, noise

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("hasty")]


@pytest.fixture
def spoilt(tmp_path, engine, names):
    """House of a running container that was backed up, with files damaged since."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name)
    done(house.back_up())
    fill(house.source, {"a": b"spoilt"})
    return house, name


def test_in_place_and_back(spoilt, engine):
    """The container is only down for the renames; afterwards, and after --undo, it runs."""
    house, name = spoilt
    program = house.program
    restored = restore(program, "svc", choose(program, "svc"), (), None)
    assert restored.downtime_seconds < 5
    assert (house.source / "a").read_bytes() == noise(100_000)
    assert engine.running(name)
    undo(program, "svc")
    assert (house.source / "a").read_bytes() == b"spoilt"
    assert engine.running(name)


@pytest.mark.parametrize(
    "edge",
    sample(["Finished select", "Finished gather", "Acquired stop", "Finished stop",
     "Finished collect", "Released start", "Finished start"]),
)  # fmt: skip
@pytest.mark.thorough
def test_a_restore_in_place_that_is_killed_leaves_the_old_or_the_new(tmp_path, engine, three, edge):
    """SIGKILL at every edge: after the next command the state is whole, and the container up."""
    name, *_ = three
    house = house_of(tmp_path, engine, name)
    done(house.back_up())
    new = {"a": (house.source / "a").read_bytes(), "b/c": (house.source / "b" / "c").read_bytes()}
    old = {"a": b"spoilt", "b/c": b"spoilt", "later": b"1"}
    fill(house.source, old)
    assert ended(restoring_in_place(house, signalling(edge))) == -signal.SIGKILL
    assert house.cli("list").returncode == 0
    assert engine.running(name)
    files = {
        str(path.relative_to(house.source)): path.read_bytes()
        for path in house.source.rglob("*")
        if path.is_file() and not str(path.relative_to(house.source)).startswith(".packrat")
    }
    placed = ("Finished collect", "Released start", "Finished start")
    assert files == (new if edge in placed else old)
    program = house.program
    restore(program, "svc", choose(program, "svc"), (), None)
    assert (house.source / "a").read_bytes() == new["a"]


def test_a_container_that_will_not_stop_keeps_its_files(spoilt, engine):
    """An in-place restore whose container cannot be stopped changes nothing."""
    house, name = spoilt
    program = house.program
    chosen = choose(program, "svc")
    engine.docker("rm", "-f", name)
    with pytest.raises(Exception, match="there is no container"):
        restore(program, "svc", chosen, (), None)
    assert (house.source / "a").read_bytes() == b"spoilt"


def test_files_are_never_moved_back_under_a_container_that_runs(spoilt, engine):
    """After a reboot Docker has started it: it stops while files are moved back, and runs after.

    If it cannot be stopped, the files stay, and so does the record.
    """
    house, name = spoilt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "exchange", dies_after_the_first(linux.exchange))
        assert ended(restoring_in_place(house, lambda _: None)) == 9
    assert (house.source / "a").read_bytes() == noise(100_000)
    engine.docker("start", name)
    begun = engine.docker("inspect", "-f", "{{.State.StartedAt}}", name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers.DockerEngine, "stop", refuse)
        said = " ".join(repair(str(house.state)))
        assert "will not stop" in said
        assert (house.source / "a").read_bytes() == noise(100_000)
    said = repair(str(house.state))
    assert "as it was before" in said[0]
    assert (house.source / "a").read_bytes() == b"spoilt"
    assert engine.running(name)
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}}", name) != begun
    assert repair(str(house.state)) == []


def dies_after_the_first(exchange):
    """Kill the restore once one file has been exchanged, after the trial."""
    calls = []

    def dying(*places):
        exchange(*places)
        calls.append(places)
        if len(calls) == 2:
            os._exit(9)

    return dying


def refuse(_, name, __):
    """Refuse to stop a container."""
    raise SourceError(f"{name} will not stop", "")
