"""Services in containers, on a real Docker engine: stopped, backed up, started, healthy."""

import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import yaml

from engine.events import Finished, Progress, Started
from packrat.runs.backup import back_up
from tests.helpers.containers import done, house_of
from tests.helpers.forked import backing_up, ended, signalling
from tests.helpers.house import House
from tests.helpers.sampling import sample
from tests.helpers.trees import differences, fill, noise

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("hasty")]
DEAF = "trap '' TERM; while true; do sleep 1; done"


def slow_place(house, store, limit="4 MiB/s"):
    """Make the destination a slow disk of its own."""
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] = {"slow": {"type": "local", "path": store, "limit": limit}}
    house.config_file.write_text(yaml.safe_dump(document))
    house.stores = {"slow": Path(store)}


@pytest.mark.parametrize("warm", [True, False])
def test_events_in_order(tmp_path, engine, names, warm):
    """The dump, the warm pass, the stop, what changed, the start, and then the upload."""
    name = engine.run(next(names))
    dump = {"command": "echo dumped > dump"}
    house = house_of(tmp_path, engine, name, docker={"warm": warm}, pre_backup=dump)
    order = []

    def listen(event):
        if isinstance(event, Finished):
            order.append(event.stage.partition(":")[0])

    result = done(back_up(house.pipeline(), [listen]))
    expected = [
        "preflight",
        "survey",
        "base",
        "source",
        "pre_backup",
        "warm",
        "stop",
        "collect",
        "start",
    ]
    expected += ["gather", "upload"]
    assert [stage for stage in order if stage in expected] == expected
    assert engine.running(name)
    assert 0 < result.downtime_seconds < 10
    assert result.warnings == []
    assert differences(house.source, house.restore()) == []


@pytest.mark.thorough
def test_the_container_is_up_long_before_a_slow_destination_has_everything(tmp_path, engine, names):
    """Reading waits for no destination, although the spool's budget is used up meanwhile."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False}, path=str(tmp_path / "source"))
    fill(house.source, {"big": noise(40 << 20)})
    with tempfile.TemporaryDirectory(dir="/dev/shm") as store:
        slow_place(house, store, "8 MiB/s")
        with open(house.config_file, "a") as file:
            file.write("spool: {max_size: 8 MiB, min_free: 0}\n")
        up_again = []

        def listen(event):
            if isinstance(event, Finished) and event.stage == "start":
                up_again.append(engine.running(name))
                up_again.append(list(Path(store).rglob("*.packrat")))

        result = done(back_up(house.pipeline(), [listen]))
    assert up_again == [True, []]
    assert result.downtime_seconds < result.seconds - 2


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.thorough
def test_nothing_is_read_from_a_destination_while_a_container_is_down(
    tmp_path, engine, names, warm
):
    """A destination that goes away meanwhile costs no downtime: the parent's index was read."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": warm})
    fill(house.source, {f"d/{n}": noise(100, n) for n in range(300)})
    before = house.backed_up()
    hidden = tmp_path / "hidden"

    def hide(event):
        if isinstance(event, Finished) and event.stage == "stop":
            before.rename(hidden)
        elif isinstance(event, Finished) and event.stage == "start":
            hidden.rename(before)

    fill(house.source, {"d/7": b"changed"})
    result = done(back_up(house.pipeline(), [hide]))
    assert result.kind == "incremental"
    assert differences(house.source, house.restore()) == []


@pytest.mark.thorough
def test_changes_during_the_warm_pass_are_stored_as_after_the_stop(tmp_path, engine, names):
    """Changed, grown, replaced, deleted, added and renamed files: the second walk decides."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name)
    files = {f"d{n % 7}/f{n}": noise(20_000, n) for n in range(300)}
    fill(house.source, files | {"hard/one": noise(5000, 7)})
    (house.source / "hard" / "two").hardlink_to(house.source / "hard" / "one")
    old = time.time() - 100
    for path in house.source.rglob("*"):
        subprocess.run(["touch", "-h", "-d", f"@{old}", path], check=True)
    time.sleep(2.5)  # to be trusted, ctimes must be two seconds older than the pass

    def change(event):
        if isinstance(event, Finished) and event.stage == "warm":
            root = house.source
            (root / "d0" / "f0").write_bytes(b"changed")
            with open(root / "d1" / "f1", "ab") as file:
                file.write(b"grown")
            (root / "d2" / "f2").unlink()
            (root / "d3" / "f3").rename(root / "d3" / "renamed")
            (root / "d4" / "new").write_bytes(b"new")
            (root / "d5" / "f5").unlink()
            (root / "d5" / "f5").symlink_to("f12")

    result = done(back_up(house.pipeline(), [change]))
    assert differences(house.source, house.restore()) == []
    assert result.read < 1.5 * result.size, "what did not change is not read twice"


def test_several_are_stopped_in_order_and_stopped_ones_stay_stopped(tmp_path, engine, names):
    """They are started in reverse; one that did not run before does not run after."""
    one, two, off = engine.run(next(names)), engine.run(next(names)), engine.run(next(names))
    engine.docker("stop", "-t", "1", off)
    house = house_of(tmp_path, engine, one, off, two)
    done(house.back_up())
    assert engine.running(one, two)
    assert not engine.running(off)
    states = [engine.state(name) for name in (one, two)]
    assert states[0]["FinishedAt"] < states[1]["FinishedAt"]
    assert states[1]["StartedAt"] < states[0]["StartedAt"]


def dies(house, edge):
    """Back up in a process that ends there and then."""
    assert ended(backing_up(house, signalling(edge))) == -signal.SIGKILL


EDGES = [
    "Finished source",
    "Started warm",
    "Finished warm",
    "Acquired stop",
    "Progress stop",
    "Finished stop",
    "Progress collect",
    "Finished collect",
    "Released start",
    "Finished start",
    "Finished spool",
]


@pytest.mark.parametrize("edge", sample(EDGES))
@pytest.mark.thorough
def test_killed_at_every_edge_the_next_command_starts_what_ran(tmp_path, engine, three, edge):
    """SIGKILL: `packrat list` starts what a dead run left down; the next backup is whole."""
    one, two, off = three
    house = house_of(tmp_path, engine, *three)
    dies(house, edge)
    said = house.cli("list")
    assert said.returncode == 0, said.stderr
    assert engine.running(one, two)
    assert not engine.running(off)
    assert not list((house.state / "journal").glob("*"))
    done(house.back_up())
    assert house.litter() == []
    assert all(verdict.status == "ok" for verdict in house.verify())


@pytest.mark.thorough
def test_the_machine_dies(tmp_path, engine, names):
    """Packrat and Docker die at once, with all containers: `status` starts what ran."""
    one, two, off = engine.run(next(names)), engine.run(next(names)), engine.run(next(names))
    engine.docker("stop", "-t", "1", off)
    house = house_of(tmp_path, engine, one, two, off)
    dies(house, "Finished stop")
    engine.kill()
    engine.start()
    assert not engine.running(one)
    status = house.cli("status")
    assert (
        f"a run was killed while containers were down: started {one}, {two} again" in status.stderr
    )
    assert engine.running(one, two)
    assert not engine.running(off)
    assert house.archives == []


def test_a_container_that_has_gone_keeps_no_other_down(tmp_path, engine, names):
    """One that a dead run stopped was removed since: the others run again; reported once."""
    one, gone, two = engine.run(next(names)), engine.run(next(names)), engine.run(next(names))
    house = house_of(tmp_path, engine, one, gone, two)
    dies(house, "Finished stop")
    engine.docker("rm", "-f", gone)
    said = house.cli("list").stderr
    assert f"started {one}, {two} again; there is no container {gone} any more" in said
    assert engine.running(one, two)
    assert house.cli("list").stderr == ""


def test_a_run_that_is_alive_is_left_alone(tmp_path, engine, names):
    """Another command does not start the containers of a backup that is under way."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False})
    seen = []

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            house.cli("list")
            seen.append(engine.running(name))

    done(back_up(house.pipeline(), [listen]))
    assert seen == [False]


@pytest.mark.thorough
def test_the_engine_dies_in_the_middle(tmp_path, engine, names):
    """SIGKILL of dockerd while the container is down: packrat waits, and starts the container."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False})

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            engine.kill()
            threading.Timer(1.5, engine.start).start()

    result = back_up(house.pipeline(), [listen])
    engine.wait()
    assert engine.running(name)
    done(result)


def test_the_second_refuses_to_stop(tmp_path, engine, names):
    """It is gone by then: the first runs again, and nothing is stored."""
    one, two = engine.run(next(names)), engine.run(next(names))
    house = house_of(tmp_path, engine, one, two)

    def listen(event):
        if isinstance(event, Progress) and event.stage == "stop" and event.items == 1:
            engine.docker("rm", "-f", two)

    result = back_up(house.pipeline(), [listen])
    assert (result.status, result.exit) == ("failed", 4)
    assert f"there is no container {two}" in result.error
    assert engine.running(one)
    assert house.archives == []


FAULTS = {
    "missing": (r"there is no container nobody; docker ps --all shows", 4),
    "engine away": (r"the Docker engine at unix:///nowhere\S* does not answer", 4),
    "unhealthy": (r"container c0 is not healthy after 2 s; its check says: not well.*is stored", 4),
    "ends": (r"container c0 ended again after its start, status 7.*is stored all the same", 4),
    "removed": (r"there is no container c0.*is stored all the same", 4),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_one_clear_message(tmp_path, engine, names, fault):
    """It says what failed, and that existing backups are unaffected."""
    says, status = FAULTS[fault]
    options = []
    script = "sleep 1000 & wait"
    if fault == "unhealthy":
        check = "test -e /tmp/up && rm /tmp/up || { echo not well; false; }"
        options = ["--health-cmd", check, "--health-interval", "1s", "--health-retries", "1"]
    if fault == "ends":
        script = "test -e /tmp/once && exit 7; echo > /tmp/once; sleep 1000 & wait"
    name = engine.run(next(names), script, *options)
    docker = {"health_timeout": 2}
    docker |= {"host": "unix:///nowhere/sock"} if fault == "engine away" else {}
    house = house_of(tmp_path, engine, "nobody" if fault == "missing" else name, docker=docker)

    def listen(event):
        if fault == "removed" and isinstance(event, Finished) and event.stage == "stop":
            engine.docker("rm", "-f", name)

    result = back_up(house.pipeline(), [listen])
    assert (result.status, result.exit) == ("failed", status), result
    assert re.search(says, result.error), result.error
    assert bool(house.archives) == ("stored" in says)
    if fault not in ("removed", "ends"):
        assert engine.running(name)


@pytest.mark.thorough
def test_all_that_are_ill_are_named_and_waited_for_together(tmp_path, engine, names):
    """Four containers of a project need no longer than one; none of them hides another."""
    check = "test -e /tmp/up && rm /tmp/up || { echo not well; false; }"
    ill = ["--health-cmd", check, "--health-interval", "1s", "--health-retries", "1"]
    ends = "test -e /tmp/once && exit 7; echo > /tmp/once; sleep 1000 & wait"
    one, two = (engine.run(next(names), "sleep 1000 & wait", *ill) for _ in range(2))
    third = engine.run(next(names), ends)
    house = house_of(tmp_path, engine, one, third, two, docker={"health_timeout": 6})
    times = []

    def listen(event):
        if isinstance(event, Started) and event.stage == "start":
            times.append(time.monotonic())

    result = back_up(house.pipeline(), [listen])
    assert result.error.count("is not healthy after 6 s") == 2
    assert f"container {third} ended again after its start" in result.error
    assert time.monotonic() - times[0] < 12


@pytest.mark.thorough
def test_one_that_ignores_term_is_killed_and_warned_of(tmp_path, engine, names):
    """This happens after stop_timeout, and it runs again."""
    name = engine.run(next(names), DEAF)
    house = house_of(tmp_path, engine, name, docker={"stop_timeout": 1})
    result = done(house.back_up())
    assert f"container {name} did not end within 1 s and was killed" in result.warnings[0]
    assert engine.running(name)


@pytest.mark.thorough
def test_restart_always(tmp_path, engine, names):
    """A restart policy does not start it in the middle, and it runs after."""
    name = engine.run(next(names), "sleep 1000 & wait", "--restart", "always")
    house = house_of(tmp_path, engine, name)
    seen = []

    def listen(event):
        if isinstance(event, Finished) and event.stage == "collect":
            seen.append(engine.running(name))

    assert done(back_up(house.pipeline(), [listen])).warnings == []
    assert seen == [False]
    assert engine.running(name)


def test_a_container_started_meanwhile_or_sharing_files_is_warned_of(tmp_path, engine, names):
    """Both may make the backup inconsistent, and both cause a warning."""
    name = engine.run(next(names))
    mount = f"{tmp_path / 'source' / 'b'}:/data"
    (tmp_path / "source" / "b").mkdir(parents=True)
    other = engine.run(next(names), "sleep 1000 & wait", "-v", mount)
    house = house_of(tmp_path, engine, name, docker={"warm": False})

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            engine.docker("start", name)

    warnings = done(back_up(house.pipeline(), [listen])).warnings
    assert f"container {other} keeps running and may write to" in warnings[0]
    assert f"container {name} was started while" in warnings[1]


def test_check_lists_volumes_that_no_service_covers(tmp_path, engine, names):
    """Also missing containers, and an unreachable engine, with --connect.

    As in `discover`, what is a cache or ignored needs no service.
    """
    folders = ("source/in", "outside", "outside/ignored", "outside/cache")
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    mounts = [word for n, at in enumerate(folders) for word in ("-v", f"{tmp_path}/{at}:/{n}")]
    name = engine.run(next(names), "sleep 1000 & wait", *mounts, "-v", "/etc:/etc:ro")
    ignore = {"ignore": [f"{tmp_path}/outside/ignored"]}
    house = house_of(tmp_path, engine, name, "nobody")
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["same"] = document["services"]["svc"]
    document["docker"] = ignore
    house.config_file.write_text(yaml.safe_dump(document))
    checked = house.cli("check")
    assert checked.returncode == 0
    assert "there is no container nobody" in checked.stdout
    assert f"container {name} writes to {tmp_path}/outside, which no service" in checked.stdout
    assert checked.stdout.count("no service covers") == 1
    away = house_of(tmp_path, engine, name, docker={"host": "unix:///nowhere"})
    assert away.cli("check").returncode == 0
    connected = away.cli("check", "--connect")
    assert connected.returncode == 4
    assert "docker: problem: cannot look at container c0: the Docker engine at" in connected.stdout


def test_one_that_a_stop_would_delete_is_not_stopped(tmp_path, engine, names):
    """It was started with --rm: reported before anything is stopped."""
    one, two = engine.run(next(names)), engine.run(next(names), "sleep 1000 & wait", "--rm")
    result = house_of(tmp_path, engine, one, two).back_up()
    assert f"container {two} was started with --rm: a stop would delete it" in result.error
    assert engine.running(one, two)


def test_max_downtime(tmp_path, engine, names):
    """Beyond it the container is started, the run fails, and nothing unfinished is listed."""
    name = engine.run(next(names))
    house = house_of(tmp_path, engine, name, docker={"warm": False, "max_downtime": 1})

    def listen(event):
        if isinstance(event, Finished) and event.stage == "stop":
            time.sleep(1.2)

    result = back_up(house.pipeline(), [listen])
    assert (result.status, result.exit) == ("failed", 4)
    assert "were down for longer than docker.max_downtime" in result.error
    assert engine.running(name)
    assert house.archives == []
    assert house.litter() == []


def test_a_command_in_a_container(tmp_path, engine, names):
    """Its output, its failure in a pipe, and its end at the timeout."""
    mount = f"{tmp_path / 'source'}:/data"
    (tmp_path / "source").mkdir()
    name = engine.run(next(names), "sleep 1000 & wait", "-v", mount)

    def house_with(command, **more):
        pre = {"container": name, "command": command} | more
        docker = {"container": name, "host": engine.host, "stop_timeout": 5}
        return House(tmp_path, settings={"pre_backup": pre, "docker": docker})

    house = house_with("echo $WORD > /data/dump", environment={"WORD": "rows"})
    done(house.back_up())
    assert (house.restore() / "dump").read_text() == "rows\n"
    failing = house_with("echo oh; false | true").back_up()
    assert "pre_backup failed with status 1; it said: oh" in failing.error
    begun = time.monotonic()
    slow = house_with("(sleep 301; echo) & sleep 301", timeout=1).back_up()
    assert "took longer than 1 s and was ended" in slow.error
    assert time.monotonic() - begun < 60
    assert "sleep 301" not in engine.docker("top", name)
    assert engine.running(name)
