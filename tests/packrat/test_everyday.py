"""Everyday screens: a dead daemon, a broken configuration, another user's state."""

import os
import re
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from engine.run import Clock
from packrat.runs.history import History
from packrat.runs.lock import service_lock
from packrat.runs.schedule import Schedule
from packrat.runs.status import max_age_of
from specs.faults import ConfigFaults
from specs.salvage import load_readable
from specs.service import Service
from tests.helpers.daemons import HOUR, Running, schedule, settle
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.needs import need_readable_code
from tests.helpers.transcript import check_golden, seen
from tests.helpers.trees import fill, noise

GOLDEN = Path(__file__).parent / "golden" / "everyday.txt"
NEVER = "0 0 29 2 *"
"""A schedule whose next instant is far away."""


def change(house, old, new):
    text = house.config_file.read_text()
    assert old in text
    house.config_file.write_text(text.replace(old, new))


def earlier(seconds):
    return Clock(now=lambda: int((time.time() - seconds) * 1e9))


def backed_up(house):
    fill(house.source, {"a": noise(3000)})
    house.backed_up()


def a_broken_configuration(house):
    """A typo in `notify` keeps nobody from the backups, but nothing is overwritten or deleted."""
    backed_up(house)
    settle(house, notify={"onn": ["failure"], "urls": []})
    out = str(house.root / "out")
    yield seen(house, "status")
    yield seen(house, "list")
    yield seen(house, "ls", "svc")
    yield seen(house, "find", "a")
    yield seen(house, "history")
    yield seen(house, "verify")
    yield seen(house, "restore", "svc", "--to", out, "--yes")
    yield seen(house, "restore", "svc", "--in-place", "--yes")
    yield seen(house, "restore", "svc", "--undo")
    yield seen(house, "restore", "svc", "--forget")
    yield seen(house, "prune")
    yield seen(house, "backup", "svc")
    yield seen(house, "verify", "--due")


def a_broken_service(house):
    """Its backups can still be restored."""
    backed_up(house)
    change(house, f"path: {house.source}", "docker: {contaner: x}")
    yield seen(house, "list")
    yield seen(house, "restore", "svc", "--to", str(house.root / "out"), "--yes")


def no_daemon(house):
    """It was never started, has ended, or was killed."""
    backed_up(house)
    settle(house, services={"svc": {"path": str(house.source), "schedule": NEVER}})
    yield seen(house, "status")
    with service_lock(str(house.state), ".daemon", time.time()):
        yield seen(house, "status")
    yield seen(house, "status")
    (house.state / "locks" / ".daemon.lock").write_text("process 1")
    yield seen(house, "status")


def a_missed_run(house):
    """No daemon ran when it was due."""
    backed_up(house)
    with closing(History(str(house.state))) as history:
        [run] = history.runs()
        long_ago = time.time() - 5 * HOUR
        history.end(run.number, "done", long_ago, run.document, {})
    schedule(house)
    yield seen(house, "status")


def one_service_in_full(house):
    backed_up(house)
    settle(
        house, services={"svc": {"path": str(house.source), "pre_backup": {"command": "echo x"}}}
    )
    house.json("backup", "svc")
    house.json("verify", "--deep")
    house.source.rename(house.root / "elsewhere")
    house.json("backup", "svc", status=4)
    yield seen(house, "status", "svc")
    yield seen(house, "status", "svcs")


def notification_services_that_apprise_does_not_know(house):
    settle(house, notify={"urls": ["json://127.0.0.1/x", "foo://bar", "ntfy"]})
    yield seen(house, "check")
    yield seen(house, "notify")
    settle(house, notify={"urls": []})
    yield seen(house, "notify", "--test")


def secrets_that_are_missing(house):
    settle(house, ping={"env": "NOPE"}, notify={"urls": [{"file": "/nope"}]})
    yield seen(house, "check")


def a_missing_key_file(house):
    """`packrat init` is never advised while a destination holds backups, or cannot be asked."""
    house.key_file.rename(house.root / "kept")
    yield seen(house, "list")
    (house.root / "kept").rename(house.key_file)
    backed_up(house)
    house.key_file.unlink()
    yield seen(house, "list")
    yield seen(house, "backup", "svc")
    house.stores["local"].rename(house.root / "moved")
    house.stores["local"].mkdir()
    yield seen(house, "list")
    house.stores["local"].rmdir()
    house.stores["local"].write_text("not a folder")
    yield seen(house, "verify")


CASES = [
    a_broken_configuration,
    a_broken_service,
    no_daemon,
    a_missed_run,
    one_service_in_full,
    notification_services_that_apprise_does_not_know,
    secrets_that_are_missing,
    a_missing_key_file,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_a_person_sees_equals_the_golden_file(case, tmp_path):
    """Each point of the issue, tried as it was reported."""
    said = "".join(case(House(tmp_path)))
    for pattern, word in (
        (r"\b\d{4}-\d\d-\d\d\b", "DAY"),
        (r"\b\d+ s\b", "N s"),
        (r"\d+\.\d KiB", "N KiB"),
        (r" \d\.\d ", " N "),
    ):
        said = re.sub(pattern, word, said)
    assert "Traceback" not in said
    check_golden(GOLDEN, case.__name__.replace("_", " "), said)


def test_a_killed_daemon_is_noticed_within_a_second(house):
    """SIGKILL leaves the text of the lock, but not the lock."""
    fill(house.source, {"a": b"1"})
    schedule(house)
    with Running(house) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])
        assert house.json("status")[0]["daemon"]
        daemon.kill()
        begun = time.monotonic()
        [row] = house.json("status")
        assert time.monotonic() - begun < 1
    assert (row["daemon"], row["missed"]) == (False, None)
    assert "daemon: NOT RUNNING; last seen 20" in house.cli("status").stdout


def test_a_run_by_hand_makes_up_for_a_missed_one(house):
    """Whoever starts backups from cron is not told every day that a daemon would have."""
    fill(house.source, {"a": b"1"})
    schedule(house)
    assert house.json("status", status=5)[0]["missed"]
    house.json("backup", "svc")
    assert house.json("status")[0]["missed"] is None


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("* * * * *", 1 / 60),
        ("0 2 * * *", 24),
        ("*/15 9-17 * * *", 15.25),
        ("0 2 * * 1-5", 72),
        ("0 2 * * mon", 168),
        ("@monthly", 31 * 24),
        ("0 0 29 2 *", 1461 * 24),
    ],
)
def test_the_longest_gap_of_a_schedule(text, hours):
    """Over nights, weekends, months and leap years."""
    assert Schedule(text, None).longest_gap == pytest.approx(hours * HOUR)
    expected = max(round(2 * hours * HOUR), 3600)
    assert max_age_of(Service(path="/x", schedule=text)) == expected


def test_a_service_whose_schedule_was_missed_twice_is_overdue_by_default(house):
    """`max_age` is off in most configurations."""
    fill(house.source, {"a": b"1"})
    settle(house, services={"svc": {"path": str(house.source), "schedule": "@hourly"}})
    assert not house.json("status")[0]["overdue"], "it was never due"
    house.back_up(clock=earlier(3 * HOUR))
    [row] = house.json("status", status=5)
    assert (row["overdue"], row["max_age_seconds"]) == (True, 7200)


def test_an_interrupted_run_is_not_all_well(house):
    """Its exit status is 5, as the help text says."""
    backed_up(house)
    with closing(History(str(house.state))) as history:
        history.end(history.begin("svc", "backup", time.time()), "interrupted", time.time(), {}, {})
    house.json("status", status=5)


def test_a_moved_destination_shows_nothing_of_its_old_folder(house):
    """`status` agrees with `list`."""
    backed_up(house)
    change(house, str(house.stores["local"]), str(house.root / "new"))
    [row] = house.json("status")
    assert row["destinations"]["local"]["backups"] == 0


def test_a_verification_is_remembered_when_its_archive_is_pruned(tmp_path):
    """VERIFIED does not go back to `never`."""
    house = House(tmp_path, keep=1)
    fill(house.source, {"a": noise(3000)})
    house.backed_up()
    house.json("verify", "--deep")
    [verified] = [row["verified"] for row in house.json("status")]
    fill(house.source, {"a": noise(3000, 2)})
    house.backed_up()
    assert len(house.archives) == 1
    assert house.json("status")[0]["verified"] == verified


def test_a_silent_destination_is_one_warning(tmp_path):
    """`list` asks a server that does not answer once, not once for each service."""
    house = House(tmp_path)
    backed_up(house)
    document = yaml.safe_load(house.config_file.read_text())
    gone = {"type": "sftp", "host": "127.0.0.1", "port": 1, "username": "x", "password": "secret-x"}
    document["backup"]["destinations"]["nas"] = gone
    document["services"] |= {name: {"path": "/x"} for name in ("one", "two")}
    house.config_file.write_text(yaml.safe_dump(document))
    done = house.cli("list")
    assert done.returncode == 5
    assert done.stderr.count("warning: ") == 1


def test_the_log_of_a_services_commands_has_times_and_runs(house):
    """Each command with the backup it belongs to, its start, and how it ended."""
    fill(house.source, {"a": b"1"})
    commands = {"pre_backup": {"command": "echo hello"}, "post_backup": {"command": "exit 3"}}
    settle(house, services={"svc": {"path": str(house.source)} | commands})
    [run] = house.json("backup", "svc", status=4)
    expected = (
        f"--- TIME pre_backup, backup {run['id']}\nhello\n--- TIME pre_backup ended with status 0\n"
        f"--- TIME post_backup, backup {run['id']}\n--- TIME post_backup ended with status 3\n"
    )
    said = (house.state / "logs" / "svc.log").read_text()
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", said) == expected


def test_what_was_pruned_and_caught_up_is_said(tmp_path):
    """In the result, the history, and the daemon's log, which also names the next run."""
    house = House(tmp_path, destinations=("local", "usb"), keep=1)
    fill(house.source, {"a": noise(30_000)})
    house.stores["usb"].parent.mkdir()
    house.stores["usb"].write_text("not a folder")
    house.json("backup", "svc", status=5)
    house.stores["usb"].unlink()
    fill(house.source, {"a": noise(30_000, 2)})
    schedule(house)
    with Running(house) as daemon:
        daemon.until(lambda: "svc: works again, after 1 partial run; 1 file" in daemon.said)
        assert "packrat is up; services with a schedule: 1; next run: svc now" in daemon.said
        assert "svc: starts, for the missed run of 20" in daemon.said
    [line] = [line for line in daemon.said.splitlines() if "svc: works again" in line]
    assert "; 1 archive (" in line
    assert "; next run 20" in line
    assert "caught up at usb" in line
    assert "pruned at local" in line
    newest = house.json("history")[0]["destinations"]
    assert newest["local"]["pruned"]["archives"] == 1
    assert newest["usb"]["caught_up"]["archives"] == 1
    assert "pruned at local" in house.cli("history").stdout


@pytest.mark.root
@pytest.mark.parametrize("closed", ["key", "."])
def test_key_of_another_user_is_no_reason_to_recreate_it(root, closed):
    """`packrat rekey` would make a key file of its own for the wrong user."""
    house = House(root)
    backed_up(house)
    key = root / "keys" / "key"
    key.parent.mkdir()
    house.key_file.rename(key)
    settle(house, encryption={"key_file": str(key)}, state_dir=str(root / "theirs"))
    (root / "theirs").mkdir()
    os.chown(root / "theirs", 65534, 65534)
    root.chmod(0o755)
    house.config_file.chmod(0o644)
    key.parent.chmod(0o755)
    (key.parent / closed).chmod(0o600)
    said = root / "said"

    def listed():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        done = house.cli("list")
        os.write(paper, done.stderr.encode())
        return done.returncode

    with said.open("wb") as file:
        paper = file.fileno()
        assert ended(forked(listed)) == 7
    advice = "run packrat as the user whose key it is, for example with sudo"
    assert f"key file {key}: Permission denied; {advice}" in said.read_text()
    assert "rekey" not in said.read_text()


@pytest.mark.root
def test_status_says_whose_state_it_is(root):
    """`sudo packrat` and `packrat` have different states."""
    need_readable_code()
    house = House(root)
    backed_up(house)
    house.cli("status")  # imports what nobody may not read
    root.chmod(0o755)
    house.config_file.chmod(0o644)
    said = root / "ignored-said"

    def status():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        done = house.cli("status")
        os.write(paper, done.stderr.encode())
        return done.returncode

    with said.open("wb") as file:
        paper = file.fileno()
        assert ended(forked(status)) == 4
    assert f"state folder {house.state} belongs to root (uid 0), and nobody" in said.read_text()
    theirs = root / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    change(house, f"state_dir: {house.state}", f"state_dir: {theirs}")
    with said.open("wb") as file:
        paper = file.fileno()
        assert ended(forked(status)) == 0
    assert f"this is the state of nobody (uid 65534) in {theirs}" in said.read_text()
    assert "the configuration belongs to root (uid 0)" in said.read_text()


@pytest.mark.root
def test_a_configuration_of_the_user_behind_sudo_is_not_installed_for_root(house, monkeypatch):
    """The daemon would refuse it, and look for key and state in root's folders."""
    os.chown(house.config_file, 4242, 4242)
    monkeypatch.setenv("SUDO_UID", "4242")
    done = house.cli("service", "install", "--print")
    assert done.returncode == 4
    assert f"{house.config_file} belongs to uid 4242" in done.stderr
    monkeypatch.setenv("PACKRAT_TRUST_UID", "4242")
    done = house.cli("service", "install", "--print")
    assert "\nEnvironment=PACKRAT_TRUST_UID=4242\n" in done.stdout
    note = f"this is the state of root (uid 0) in {house.state}"
    backed_up(house)
    assert note not in house.cli("status").stderr, "it is on purpose"
    monkeypatch.delenv("PACKRAT_TRUST_UID")
    assert note in house.cli("status").stderr


@pytest.mark.parametrize(
    "fault",
    [
        "services: {svc: {path: 5, exclude: [1]}}",
        "services: {svc: }",
        "services: {'': {path: /x}, svc: {path: /x}}",
        "services: {svc: {path: /x, destinations: [nowhere]}}",
        "services: {svc: {path: /x, stages: [{kind: none, after: gather}]}}",
        "services: {svc: {path: /x, retain_backups: 0, docker: {}}}",
        "services: {svc: {path: /x}}\nstate_dir: []",
        "services: {svc: {path: /x}, svc: {path: /y}}",
        "services: {svc: {path: /x}}\nverify: {schedule: never}\nspool: 5\nnotify: [x]",
    ],
)
def test_everything_else_of_a_broken_configuration_is_readable(tmp_path, fault):
    """One fault costs no other part."""
    file = tmp_path / "packrat.yaml"
    file.write_text(f"backup: {{local: {{path: /b}}, s3: {{bukket: x}}}}\n{fault}\n")
    config, faults = load_readable(str(file))
    assert "svc" in config.services
    assert list(config.destinations()) == ["local"]
    assert len(faults) > 1


def test_a_service_without_a_readable_destination_says_so(house):
    """Its only destination is the faulty part of the configuration."""
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] = {"remote": {"type": "fsspec", "url": "file:///x"}}
    house.config_file.write_text(yaml.safe_dump(document))
    done = house.cli("ls", house.service)
    assert done.returncode == 4
    assert f"{house.service} has no destination" in done.stderr


@pytest.mark.parametrize("text", ["a: [", "services: 5\nbackup: {local: {path: /b}}", "x: 1"])
def test_a_file_without_readable_services_is_refused(tmp_path, text):
    file = tmp_path / "packrat.yaml"
    file.write_text(text)
    with pytest.raises(ConfigFaults):
        load_readable(str(file))
