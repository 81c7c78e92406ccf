"""A real daemon: every scheduled run happens, even if the daemon or a job is killed."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from packrat.runs.lock import is_running, service_lock
from stages.containers import Containers
from stages.journal import Journal, journals
from tests.helpers.daemons import HOUR, Running, runs, schedule, settle
from tests.helpers.house import House
from tests.helpers.servers import SECRET, free_port
from tests.helpers.trees import fill, noise


@pytest.fixture
def slow(tmp_path):
    """A house whose destination takes half a minute, through another disk and a rate limit."""
    store = Path("/dev/shm") / f"packrat-{os.getpid()}-{tmp_path.name}"
    place = {"type": "local", "path": str(store), "limit": "1 MiB/s"}
    house = House(tmp_path, backup={"retain_backups": 9, "destinations": {"slow": place}})
    fill(house.source, {"a": noise(32 << 20, 1)})
    yield house
    shutil.rmtree(store, ignore_errors=True)


def children(pid):
    """Return the child processes of a process."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_was_missed_is_made_up_once(house):
    """Five missed hours cause one run, for the last one; a restart causes no other."""
    fill(house.source, {"a": b"1"})
    schedule(house)
    with Running(house) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])
        assert daemon.stop() == 0
    [run] = runs(house)
    assert run["by"] == "daemon"
    assert time.time() - HOUR < run["scheduled"] < time.time()
    with Running(house) as daemon:
        daemon.until(lambda: daemon.said.count("packrat is up") == 2)
        time.sleep(1)
        assert len(daemon.runs()) == 1


def test_what_is_not_to_be_made_up_is_not(house):
    """With `catch_up: false` the daemon logs it, and waits for the next instant."""
    fill(house.source, {"a": b"1"})
    schedule(house, catch_up=False)
    with Running(house) as daemon:
        daemon.until(lambda: "missed, and not caught up" in daemon.said)
        time.sleep(1)
        assert daemon.runs() == []


@pytest.mark.thorough
def test_a_broken_file_harms_no_scheduled_backup(house):
    """A broken file is reported, and the old configuration stays in use.

    That includes the literal secrets, which the broken file no longer has. The daemon's clock is
    ahead, so that a minute begins in four seconds.
    """
    fill(house.source, {"a": b"1"})
    command = {"command": 'echo "$PASSWORD" > dump', "environment": {"PASSWORD": "literal-secret"}}
    service = {"path": str(house.source), "schedule": "* * * * *", "pre_backup": command}
    settle(house, services={"svc": service})
    right = house.config_file.read_text()
    ahead = (sys.executable, "-m", "tests.helpers.ahead", str((56 - time.time()) % 60))
    with Running(house, program=ahead) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said)
        broken = right.replace("schedule", "shedule").replace("literal-secret", "")
        house.config_file.write_text(broken)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: "keeping the previous configuration" in daemon.said)
        assert "did you mean 'schedule'?" in daemon.said
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])
        assert daemon.runs()[0]["scheduled"] % 60 == 0
        assert (house.source / "dump").read_text() == "literal-secret\n"
        house.config_file.write_text(right.replace("svc", "other"))
        daemon.until(lambda: "configuration read again" in daemon.said, 15)


def test_a_daemon_that_is_killed_loses_no_instant(slow):
    """After SIGKILL its job ends in order, and the next daemon repeats it; the history has both."""
    schedule(slow)
    daemon = Running(slow)
    daemon.until(lambda: any(r["status"] == "running" for r in daemon.runs()))
    daemon.kill()
    daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["interrupted"])
    fill(slow.source, {"a": b"smaller now"})
    with Running(slow) as again:
        again.until(lambda: again.runs()[-1]["status"] == "done")
        assert [r["status"] for r in again.runs()] == ["interrupted", "done"]
        assert len({r["scheduled"] for r in again.runs()}) == 1


@pytest.mark.root
@pytest.mark.thorough
def test_what_cannot_be_put_back_yet_is_tried_again(house, engine):
    """The Docker engine starts after packrat, and the repair needs no user."""
    engine.docker("stop", "-t", "0", engine.run("late"))
    socket = house.root / "ignored-socket"
    owed = Containers(names=("late",), host=f"unix://{socket}")
    Journal(str(house.state), "svc").note("stop", owed, {"ran": ["late"], "stopping": None})
    with Running(house) as daemon:
        daemon.until(lambda: "does not answer" in daemon.said)
        socket.symlink_to(engine.host.removeprefix("unix://"))
        daemon.until(lambda: "started late again" in daemon.said)
    assert engine.running("late")
    engine.docker("rm", "-f", "late")
    assert journals(str(house.state)) == []


def test_a_signal_ends_it_within_seconds_with_nothing_half_done(slow):
    """After SIGTERM the running job ends in order, and no unfinished file is left."""
    schedule(slow)
    with Running(slow) as daemon:
        daemon.until(lambda: any(r["status"] == "running" for r in daemon.runs()))
        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < 10
    assert [r["status"] for r in runs(slow)] == ["interrupted"]
    assert slow.litter() == []
    assert not is_running(str(slow.state), "svc")


@pytest.mark.thorough
def test_a_job_that_takes_too_long_or_is_killed_is_written_down(slow):
    """`timeout:` ends a hung job; the daemon records the failure of a killed one."""
    schedule(slow, timeout="3s")
    schedule(slow, service="other")
    settle(slow, max_parallel=2)
    with Running(slow) as daemon:
        daemon.until(
            lambda: ("other", "running") in [(r["service"], r["status"]) for r in daemon.runs()]
        )
        for child in children(daemon.process.pid):
            if b"other" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["failed", "failed"])
    errors = {r["service"]: r["error"] for r in runs(slow)}
    assert errors == {
        "svc": "took longer than its timeout of 3 s, and was ended",
        "other": "its process was killed by SIGKILL",
    }


@pytest.mark.thorough
def test_many_with_one_schedule_neither_start_at_once_nor_starve(house):
    """Six services due at once, two at a time: all run, each once."""
    fill(house.source, {"a": b"1"})
    names = [f"s{number}" for number in range(6)]
    for name in names:
        schedule(house, service=name)
    settle(house, max_parallel=2)
    with Running(house) as daemon:
        daemon.until(lambda: len([r for r in daemon.runs() if r["status"] == "done"]) == 6, 60)
    done = runs(house)
    assert sorted(r["service"] for r in done) == names
    for run in done:
        assert sum(r["started"] <= run["started"] < r["ended"] for r in done) <= 2


@pytest.mark.thorough
def test_a_run_by_hand_is_waited_for(house):
    """The daemon waits for a manual run to end, and then runs."""
    fill(house.source, {"a": b"1"})
    schedule(house)
    with service_lock(str(house.state), "svc", time.time()), Running(house) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said)
        time.sleep(1)
        assert daemon.runs() == []
        assert daemon.stop() == 0
    with Running(house) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])


def test_two_daemons_do_not_share_a_state(house):
    """The second one is refused with the name of the first."""
    with Running(house) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said)
        done = house.cli("daemon", wrap=())
        assert done.returncode == 6
        assert f"process {daemon.process.pid}" in done.stderr


def test_health_and_metrics(house):
    """Prometheus' parser reads the metrics; JSON logs have one object per line."""
    fill(house.source, {"a": b"1"})
    schedule(house, max_age="1d")
    port = free_port()
    settle(house, listen=f"127.0.0.1:{port}")
    with Running(house, "--log-format", "json") as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])
        assert urlopen(f"http://127.0.0.1:{port}/healthz").read() == b"ok\n"
        daemon.until(lambda: "svc: 1 file" in daemon.said)
        text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert samples["packrat_last_run_status", "done", "svc"] == 1
    assert samples["packrat_overdue", "svc"] == 0
    newest = samples["packrat_newest_backup_timestamp_seconds", "local", "svc"]
    assert abs(newest - time.time()) < 60
    assert samples["packrat_next_run_timestamp_seconds", "svc"] > time.time()
    assert all(json.loads(line)["level"] for line in daemon.said.splitlines())


def test_systemd_is_notified(house, tmp_path):
    """READY, watchdog messages, RELOADING and READY again, STOPPING."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(address)
        line.settimeout(10)
        words = []
        env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        with Running(house, env=env) as daemon:
            for expected in ("READY=1", "WATCHDOG=1", "RELOADING=1", "READY=1", "STOPPING=1"):
                if expected == "RELOADING=1":
                    daemon.process.send_signal(signal.SIGHUP)
                if expected == "STOPPING=1":
                    daemon.stop()
                while not words or expected not in words[-1]:
                    words.append(line.recv(1000).decode().split("\n"))


@pytest.mark.thorough
def test_a_secret_does_not_reach_the_log(house):
    """Literal secrets of the configuration are masked in every line."""
    fill(house.source, {"a": b"1"})
    secret = "hunter22secret"
    settle(house, ping=secret)
    schedule(house, path=f"/nowhere/{secret}")
    with Running(house) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["failed"])
        daemon.until(lambda: "***" in daemon.said)
        daemon.stop()
        assert secret not in daemon.said


@pytest.mark.thorough
def test_what_a_run_finds_out_is_masked_wherever_it_is_written(tmp_path, s3, monkeypatch):
    """A secret that a command prints is not in the daemon's log, the history or the run's log."""
    secrets = {"file": "from a file", "env": "from the environment", "command": SECRET}
    monkeypatch.setenv("PACKRAT_TEST_SECRET", secrets["env"])
    (tmp_path / "secret").write_text(secrets["file"])
    (tmp_path / "all").write_text("\n".join(secrets.values()))
    place = s3.destination(secret_access_key={"command": f"echo {SECRET}"})
    house = House(tmp_path, backup={"retain_backups": 9, "destinations": {"s3": place}})
    environment = {"A": {"env": "PACKRAT_TEST_SECRET"}, "B": {"file": str(tmp_path / "secret")}}
    command = f"cat {tmp_path / 'all'}; exit 3"
    schedule(house, pre_backup={"command": command, "environment": environment})
    with Running(house) as daemon:
        daemon.until(lambda: "failed with status 3; it said: *** | *** | ***" in daemon.said)
        written = [daemon.said, str(daemon.runs()), *_texts(house.state / "logs")]
    assert [secret for secret in secrets.values() for text in written if secret in text] == []


def _texts(folder):
    texts = [file.read_text() for file in folder.iterdir()]
    assert texts
    return texts
