"""Notifications and pings at a real HTTP server: their content, and no delay of backups."""

import io
import json
import signal
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import yaml
from msgspec import structs

from packrat.notify import worker
from packrat.notify.sender import Message
from tests.helpers.daemons import Running, schedule, settle
from tests.helpers.ears import ears
from tests.helpers.servers import free_port
from tests.helpers.trees import fill, noise


def configure(house, server, *on, ping=True):
    """Configure a house to notify the server."""
    notify = {"urls": [f"json://127.0.0.1:{server.port}/notify"]} | ({"on": list(on)} if on else {})
    settle(house, notify=notify)
    if ping:
        settle(house, ping=f"http://127.0.0.1:{server.port}/ping")


def test_a_manual_run_sends_messages_and_pings(house):
    """Success if requested, failure and recovery, each with a ping before and after."""
    fill(house.source, {"a": b"1"})
    with ears() as server:
        configure(house, server, "success", "failure", "recovery")
        house.json("backup", "svc")
        house.source.rename(house.root / "elsewhere")
        house.json("backup", "svc", status=4)
        (house.root / "elsewhere").rename(house.source)
        house.json("backup", "svc")
    (title, body, kind), failed, recovered = server.posts()
    assert title == "packrat on here: svc is backed up"
    assert body.startswith("svc: 1 file, 1 B; stored ")
    assert kind == "success"
    assert failed[0] == "packrat on here: svc failed"
    assert "does not exist; is it mounted?" in failed[1]
    assert failed[2] == "failure"
    assert (recovered[0], recovered[2]) == ("packrat on here: svc works again", "success")
    assert recovered[1].startswith("svc: works again, after 1 failed run; 1 file, 1 B; stored ")
    ends = [ping for ping in server.pings() if ping != "/start"]
    assert ends == ["", "/fail", ""]


@pytest.mark.thorough
def test_by_default_good_runs_send_no_message(house):
    """The first good run after a bad one sends a message."""
    fill(house.source, {"a": b"1"})
    with ears() as server:
        configure(house, server, ping=False)
        house.json("backup", "svc")
        assert server.posts() == []
        house.source.rename(house.root / "elsewhere")
        house.json("backup", "svc", status=4)
        (house.root / "elsewhere").rename(house.source)
        house.json("backup", "svc")
        house.json("backup", "svc")
        assert [kind for _, _, kind in server.posts()] == ["failure", "success"]


def test_sending_is_retried(house):
    """A service that answers 500 twice gets the message at the third attempt."""
    fill(house.source, {"a": b"1"})
    with ears(deaf=2) as server:
        configure(house, server, "success", ping=False)
        house.json("backup", "svc")
        assert len(server.posts()) == 1


@pytest.mark.thorough
def test_the_daemon_notifies_of_crashes_and_overdue_services(house):
    """A crash, the end of a job, and pings at start and end for the dead man's switch."""
    fill(house.source, {"a": b"1"})
    schedule(house, path="/nowhere", max_age="1h")
    with ears() as server:
        configure(house, server)
        with Running(house) as daemon:
            daemon.until(lambda: len(server.posts()) >= 2 and "/fail" in server.pings(), 40)
        titles = sorted(title for title, _, _ in server.posts())
        assert titles == ["packrat on here: svc failed", "packrat on here: svc is overdue"]
        assert ("packrat on here: svc is overdue", "svc: has no backup yet", "warning") in (
            server.posts()
        )


@pytest.mark.thorough
def test_a_dead_server_delays_no_backup(house):
    """A server that accepts and never answers does not delay the runs."""
    fill(house.source, {"a": b"1"})
    for name in ("svc", "two", "three"):
        schedule(house, service=name)
    with ears(silent=True) as server:
        configure(house, server, "success", "failure")
        with Running(house) as daemon:
            daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"] * 3, 25)
            begun = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - begun < 10


def test_the_ping_is_a_success_only_if_no_service_fails(house):
    """A good run while another service still fails does not reset the dead man's switch."""
    fill(house.source, {"a": b"1"})
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["bad"] = {"path": "/nowhere"}
    house.config_file.write_text(yaml.safe_dump(document))
    house.json("backup", "bad", status=4)
    with ears() as server:
        configure(house, server, "success")
        house.json("backup", "svc")
        assert server.pings()[-1] == "/fail"
        (_, why) = [heard for heard in server.heard if heard[0] == "/ping/fail"][-1]
        (_, body, _) = server.posts()[-1]
    first, second = why.splitlines()
    assert first.startswith("bad: failed, /nowhere does not exist; is it mounted?")
    assert second.startswith("svc: 1 file")
    assert body.startswith("svc: 1 file"), "the message is about svc alone"


@pytest.mark.thorough
def test_damage_that_a_verification_by_hand_finds_is_notified(house):
    """However the verification was started."""
    fill(house.source, {"a": noise(5000)})
    archive = house.backed_up()
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with ears() as server:
        configure(house, server, ping=False)
        house.cli("verify", "--deep")
        house.cli("verify", "--due")
        titles = [title for title, _, _ in server.posts()]
    assert titles == ["packrat on here: 1 archive found damaged"] * 2


@pytest.mark.thorough
def test_a_test_message_is_sent_to_each_service(house):
    """`packrat notify --test` says for each URL whether it was sent; it pings nobody."""
    title = "packrat on here: test message"
    with ears() as server, ears(deaf=99) as deaf:
        configure(house, server)
        urls = [f"json://127.0.0.1:{one.port}/notify" for one in (server, deaf)]
        settle(house, notify={"urls": urls})
        done = house.cli("notify", "--test")
        assert [post[0] for post in server.posts()] == [title]
        assert server.pings() == []
    assert done.returncode == 4
    assert done.stdout.splitlines() == [
        "notify.urls[0]: sent",
        "notify.urls[1]: notification service json: did not accept the message '" + title + "'",
        "ping: not tested, because that would reset the dead man's switch",
    ]


def test_a_test_message_whose_secret_is_missing_says_what_is_missing(house, monkeypatch):
    monkeypatch.delenv("NTFY_URL", raising=False)
    settle(house, notify={"urls": [{"env": "NTFY_URL"}]})
    done = house.cli("notify", "--test")
    assert done.returncode == 4
    assert done.stdout == (
        "notify.urls[0]: not sent: the environment has no NTFY_URL; set it where packrat is started"
        "\n"
    )


@pytest.mark.thorough
def test_a_configuration_that_breaks_under_the_daemon_is_notified(house):
    """Once, and again when it is repaired; health and metrics show it in between."""
    fill(house.source, {"a": b"1"})
    port = free_port()
    with ears() as server:
        configure(house, server, ping=False)
        settle(house, listen=f"127.0.0.1:{port}")
        right = house.config_file.read_text()
        with Running(house) as daemon:
            daemon.until(lambda: "packrat is up" in daemon.said)
            house.config_file.write_text(right.replace("retain_backups", "retain_bakups"))
            daemon.process.send_signal(signal.SIGHUP)
            daemon.until(server.posts, 40)
            with pytest.raises(HTTPError, match="503"):
                urlopen(f"http://127.0.0.1:{port}/healthz")
            text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            assert "\npackrat_config_ok 0.0\n" in text
            house.config_file.write_text(right)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.until(lambda: len(server.posts()) == 2, 40)
            assert urlopen(f"http://127.0.0.1:{port}/healthz").read() == b"ok\n"
    (title, body, kind), repaired = server.posts()
    assert (title, kind) == ("packrat on here: the configuration has faults", "failure")
    assert "retain_bakups: unknown key; did you mean 'retain_backups'?" in body
    assert repaired[0] == "packrat on here: the configuration is valid again"


def test_a_daemon_that_cannot_start_notifies_it(house):
    """After a reboot with a broken configuration nothing runs."""
    with ears() as server:
        configure(house, server, ping=False)
        text = house.config_file.read_text()
        house.config_file.write_text(text.replace("retain_backups", "retain_bakups"))
        assert house.cli("daemon").returncode == 3
        [(title, body, _)] = server.posts()
    assert title == "packrat on here: the daemon cannot start"
    assert "did you mean 'retain_backups'?" in body


@pytest.mark.parametrize("url", ["nonsense://x", "json://127.0.0.1:1/secret-token"])
def test_a_failed_notification_is_reported_without_the_secret(house, url, monkeypatch, capsys):
    """The warning names the kind of service, and not its URL."""
    settle(house, notify={"urls": [url], "on": ["success"]})
    batch = {
        "notify": {"urls": [{"config": "/file#/url"}], "on": ["success"]},
        "ping": None,
        "literals": {"/file#/url": url},
        "unmasked": [],
        "messages": [structs.asdict(Message("success", "t", "b"))],
    }
    monkeypatch.setattr(worker, "WAITS", ())
    monkeypatch.setattr("logging.disable", lambda _: None)  # it would last
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(batch)))
    worker.main()
    said = capsys.readouterr().err
    assert said.startswith(f"notification service {url.partition(':')[0]}: ")
    assert "secret-token" not in said


@pytest.mark.thorough
def test_backups_that_vanished_are_notified(house):
    """By a backup that is itself done, as a partial run; by a verification, as damage."""
    fill(house.source, {"a": b"1"})
    with ears() as server:
        configure(house, server)
        house.json("backup", "svc")
        house.backed_up().unlink()
        house.json("verify", status=4)
        house.json("backup", "svc", status=5)
    verified, backed_up = server.posts()
    assert verified[0] == "packrat on here: 1 archive found damaged or missing"
    assert "svc at local: the newest backup is of" in verified[1]
    assert verified[2] == "failure"
    assert backed_up[0] == "packrat on here: svc: backups are missing"
    assert backed_up[1].startswith("svc at local: the newest backup is of")
    assert "packrat check --connect --accept svc\nsvc: 1 file, 1 B; stored" in backed_up[1]
    assert backed_up[2] == "warning"
    assert server.pings() == ["/start", "", "/start", "/fail"]
