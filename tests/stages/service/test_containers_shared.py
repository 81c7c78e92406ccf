"""Containers that several services, other containers or people use at the same time."""

import os
import threading
import time

import pytest
import yaml

from engine.events import Finished, Warned
from packrat.restore.choose import choose
from packrat.runs.backup import back_up
from packrat.runs.repair import repair
from specs.compile import compile_service
from stages import command, containers
from stages.waiting import Waiting
from tests.helpers.containers import done, house_of
from tests.helpers.forked import backing_up, ended, forked, signalling
from tests.helpers.restoring import restore
from tests.helpers.trees import fill

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("hasty")]


def second_service(house, *names):
    """Add a service with a folder of its own that names the same containers."""
    document = yaml.safe_load(house.config_file.read_text())
    folder = house.root / "second"
    folder.mkdir()
    (folder / "file").write_bytes(b"second")
    document["services"]["second"] = document["services"]["svc"] | {"path": str(folder)}
    document["services"]["second"]["docker"] = document["services"]["svc"]["docker"] | {
        "containers": list(names)
    }
    house.config_file.write_text(yaml.safe_dump(document))
    return compile_service(house.program.config, "second")


def commanding(house, **commands):
    """Add a service that runs commands in a container, and stops none."""
    document = yaml.safe_load(house.config_file.read_text())
    folder = house.root / "commanding"
    fill(folder, {"file": b"1"})
    document["services"]["commanding"] = {"path": str(folder)} | commands
    house.config_file.write_text(yaml.safe_dump(document))
    return compile_service(house.program.config, "commanding")


def lock_files(house):
    folder = house.state / "locks" / "containers"
    return os.listdir(folder) if folder.exists() else []


def test_two_services_that_share_containers_wait_for_each_other(tmp_path, engine, names):
    """The second neither takes a stopped container for one at rest, nor fails the first one."""
    one, two = engine.run(next(names)), engine.run(next(names))
    house = house_of(tmp_path, engine, one, two, docker={"warm": False})
    second = second_service(house, two, one)
    results, waits, ups = [], [], []

    def other(event):
        if isinstance(event, Waiting) and event.reason:
            waits.append(event.reason)
        elif isinstance(event, Finished) and event.stage == "collect":
            ups.append(engine.running(one) or engine.running(two))

    thread = threading.Thread(target=lambda: results.append(back_up(second, [other])))

    def first(event):
        if isinstance(event, Finished) and event.stage == "stop":
            thread.start()
            while not waits:
                time.sleep(0.05)
        elif isinstance(event, Finished) and event.stage == "collect":
            ups.append(engine.running(one) or engine.running(two))

    assert done(back_up(house.pipeline(), [first])).warnings == []
    thread.join()
    [result] = results
    assert done(result).warnings == []
    assert result.downtime_seconds > 0, "it stopped them itself"
    assert ups == [False, False]
    assert engine.running(one, two)
    assert f"which service svc (process {os.getpid()}) is using" in waits[0]
    assert lock_files(house) == []


@pytest.mark.thorough
def test_a_service_gives_up_on_a_container_that_stays_in_use(tmp_path, engine, names, monkeypatch):
    """Within a bounded time, with the name of the other service, and nothing is stopped."""
    name, own = engine.run(next(names)), engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False})
    second = second_service(house, own, name)
    monkeypatch.setattr(containers, "LOCK_SECONDS", 0.5)
    results = []

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            thread = threading.Thread(target=lambda: results.append(back_up(second)))
            thread.start()
            thread.join()
            results.append(engine.running(own))

    done(back_up(house.pipeline(), [listen]))
    result, up = results
    assert result.exit == 4
    assert f"container {name} is in use by service svc (process {os.getpid()})" in result.error
    assert up
    assert engine.running(own, name)
    done(back_up(second))


def test_the_lock_of_a_dead_run_is_free(tmp_path, engine, names):
    """Another service goes on at once; the dead run's container is started by the repair."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False})
    second = second_service(house, name)
    assert ended(backing_up(house, signalling("Finished stop"))) == -9
    assert len(lock_files(house)) == 1
    assert not engine.running(name)
    begun = time.monotonic()
    done(back_up(second))
    assert time.monotonic() - begun < 10
    assert f"started {name} again" in repair(str(house.state))[0]
    assert engine.running(name)
    assert lock_files(house) == []


def test_a_repair_starts_no_container_that_another_run_has_at_rest(
    tmp_path, engine, names, monkeypatch
):
    """It is owed meanwhile, and done by the next command."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False})
    second = second_service(house, name)
    monkeypatch.setattr(containers, "REPAIR_SECONDS", 0.5)
    assert ended(backing_up(house, signalling("Finished stop"))) == -9
    seen = []

    def listen(event):
        if isinstance(event, Finished) and event.stage == "collect":
            seen.extend(repair(str(house.state)))
            seen.append(engine.running(name))

    assert done(back_up(second, [listen])).warnings == []
    [said, up] = seen
    assert f"container {name} is in use by service second" in said
    assert not up
    assert f"started {name} again" in repair(str(house.state))[0]
    assert engine.running(name)


@pytest.fixture
def commanded(tmp_path, engine, names, monkeypatch):
    """House whose service stops a container in which commands of another service run."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    name = engine.run(next(names))
    return house_of(tmp_path, engine, name, docker={"warm": False}), name


def test_a_command_waits_for_a_run_that_has_stopped_its_container(commanded):
    """Instead of failing because the container is not running."""
    house, name = commanded
    pipeline = commanding(house, pre_backup={"command": "true", "container": name})
    results, waits = [], []

    def other(event):
        if isinstance(event, Waiting) and event.reason:
            waits.append(event.reason)

    thread = threading.Thread(target=lambda: results.append(back_up(pipeline, [other])))

    def first(event):
        if isinstance(event, Finished) and event.stage == "stop":
            thread.start()
            while not waits and thread.is_alive():
                time.sleep(0.05)

    done(back_up(house.pipeline(), [first]))
    thread.join()
    done(results[0])
    assert f"container {name}, which service svc" in waits[0]
    assert lock_files(house) == []


def test_a_container_is_not_stopped_while_a_command_runs_in_it(commanded, engine):
    house, name = commanded
    script = "touch /tmp/began; while [ ! -e /tmp/go ]; do sleep 0.1; done"
    pipeline = commanding(house, pre_backup={"command": script, "container": name})
    results, waits = [], []
    thread = threading.Thread(target=lambda: results.append(back_up(pipeline)))
    thread.start()
    while "began" not in engine.docker("exec", name, "ls", "/tmp") and thread.is_alive():
        time.sleep(0.05)

    def listen(event):
        if isinstance(event, Waiting) and event.reason:
            waits.append(event.reason)
            engine.docker("exec", name, "touch", "/tmp/go")

    done(back_up(house.pipeline(), [listen]))
    thread.join()
    done(results[0])
    assert f"container {name}, which service commanding" in waits[0]
    assert lock_files(house) == []


def test_a_dead_runs_command_waits_for_its_container_until_a_later_repair(commanded, monkeypatch):
    house, name = commanded
    ran = {"command": "true", "container": name}
    pipeline = commanding(house, pre_backup=ran, post_backup=ran)
    monkeypatch.setattr(command, "REPAIR_SECONDS", 0.5)
    assert ended(forked(lambda: back_up(pipeline, [signalling("Finished collect")]))) == -9
    seen = []

    def listen(event):
        if isinstance(event, Finished) and event.stage == "collect":
            seen.extend(repair(str(house.state)))

    done(back_up(house.pipeline(), [listen]))
    assert f"container {name} is in use by service svc" in seen[0]
    assert "post_backup has run" in repair(str(house.state))[0]


@pytest.mark.parametrize("edge", ["", "Finished stop", "before the pause", "Released start"])
@pytest.mark.thorough
def test_a_paused_container_is_paused_again(tmp_path, engine, names, monkeypatch, edge):
    """Also when the run died; no warning, since all is as it was."""
    name = engine.run(next(names))
    engine.docker("pause", name)
    house = house_of(tmp_path, engine, name)
    if edge:
        with monkeypatch.context() as patch:
            if edge == "before the pause":
                patch.setattr(containers.DockerEngine, "pause", lambda *_: os.kill(os.getpid(), 9))
            child = backing_up(house, signalling(edge))
        assert ended(child) == -9
        repair(str(house.state))
    else:
        assert done(house.back_up()).warnings == []
    assert engine.state(name)["Status"] == "paused"
    assert repair(str(house.state)) == []


def test_one_that_was_stopped_and_is_started_meanwhile_is_warned_of(tmp_path, engine, names):
    """Its files were not at rest, although packrat did not stop it."""
    name = engine.run(next(names))
    engine.docker("stop", "-t", "1", name)
    house = house_of(tmp_path, engine, name)

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            engine.docker("start", name)

    [warning] = done(back_up(house.pipeline(), [listen])).warnings
    assert f"container {name} was started while" in warning


@pytest.mark.thorough
def test_a_container_in_the_network_of_another_starts_after_it(tmp_path, engine, names):
    """In any order of names; one in the network of a stopped container is warned of."""
    vpn = engine.run(next(names))
    app, other = next(names), next(names)
    for one in (app, other):
        network = f"container:{vpn}"
        words = ["busybox", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
        engine.docker("run", "-d", "--name", one, "--network", network, *words)
    for order in ([vpn, app], [app, vpn]):
        result = done(house_of(tmp_path, engine, *order).back_up())
        assert engine.running(vpn, app)
        [warning] = result.warnings
        assert f"container {other} uses the network of container {vpn}" in warning


def test_other_containers_that_use_the_files_are_named_by_plan_and_restore(tmp_path, engine, names):
    """They keep what was replaced, and what they write there is lost."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name)
    side = engine.run(next(names), "sleep 1000 & wait", "-v", f"{house.source}/b:/data:ro")
    done(house.back_up())
    said = f"container {side} has something of {house.source} mounted and keeps running"
    plan = house.cli("plan", "--restore", "svc")
    assert plan.returncode == 0, plan.stderr
    assert said in " ".join(plan.stdout.split())
    assert said not in " ".join(house.cli("plan", "--restore", "--to", "/x", "svc").stdout.split())
    warnings = []
    program = house.program
    restore(
        program,
        "svc",
        choose(program, "svc"),
        (),
        None,
        [lambda event: warnings.append(event.text) if isinstance(event, Warned) else None],
    )
    assert any(said in text for text in warnings)
