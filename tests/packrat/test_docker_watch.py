"""Daemon that listens to a real Docker engine: containers without a backup, and labels."""

import socket
import threading
from contextlib import closing, contextmanager, suppress

import pytest

from tests.helpers.containers import IMAGE, create, image_with_labels
from tests.helpers.daemons import Running, settle
from tests.helpers.ears import ears


class Relay:
    """Unix socket that leads to another one, until it is cut."""

    def __init__(self, path, target):
        self.target, self.open = target, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """End all connections; new ones are accepted again."""
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, server = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self.open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def made(engine):
    """Create containers that keep data, and remove them after the test."""
    names = []

    def make(name, *mounts, image=IMAGE, **labels):
        options = [word for mount in mounts or (f"{name}-data:/data",) for word in ("-v", mount)]
        names.append(create(engine, name, image, labels, options))

    yield make
    for name in names:
        engine.docker("rm", "-f", "-v", name, check=False)
        engine.docker("volume", "rm", f"{name}-data", check=False)


@contextmanager
def watching(house, host):
    with Running(house, env={"DOCKER_HOST": host}) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said)
        yield daemon


@pytest.mark.thorough
def test_a_new_container_without_a_backup_is_told_once(house, engine, made):
    """Also across a lost stream of events, an update of the container and a restart."""
    made("there")
    host = f"unix://{house.root}/sock"
    relay = Relay(house.root / "sock", engine.host.removeprefix("unix://"))
    settle(house, notify={"on": ["unprotected"]})
    with ears() as server, closing(relay.listener):
        with watching(house, host) as daemon:
            daemon.until(lambda: "without a backup: there" in daemon.said)
            made("new")
            daemon.until(lambda: "without a backup: new" in daemon.said)
            relay.cut()
            made("after-the-cut")
            daemon.until(lambda: "without a backup: after-the-cut" in daemon.said)
            engine.docker("rm", "new")
            made("new")
        urls = [f"json://127.0.0.1:{server.port}/notify"]
        settle(house, notify={"urls": urls, "on": ["unprotected"]})
        with watching(house, host) as daemon:
            made("last")
            daemon.until(server.posts)
    assert daemon.said.count("without a backup: ") == 4
    [(title, body, kind)] = server.posts()
    assert (title, kind) == ("packrat on here: last without a backup", "warning")
    assert body.splitlines()[0] == "last: volume last-data"
    assert "packrat discover --write" in body


@pytest.mark.thorough
def test_without_docker_the_daemon_runs_and_uses_it_when_it_is_there(house, engine, made):
    made("late")
    settle(house, notify={"on": ["unprotected"]})
    socket_file = house.root / "sock"
    with watching(house, f"unix://{socket_file}") as daemon:
        socket_file.symlink_to(engine.host.removeprefix("unix://"))
        daemon.until(lambda: "without a backup: late: volume late-data" in daemon.said)
        assert daemon.stop() == 0


def test_labels_of_a_new_container_are_used_at_once(house, engine, made):
    """And when they are gone, the service stays without a schedule."""
    settle(house, docker={"labels": True})
    labels = {"packrat.enable": "true", "packrat.schedule": "0 5 * * *"}
    with watching(house, engine.host) as daemon:
        assert "services with a schedule: 0" in daemon.said
        made("labelled", **labels)
        daemon.until(lambda: "schedule: 1; next run: labelled at" in daemon.said)
        engine.docker("rm", "labelled")
        daemon.until(lambda: "labelled: its containers no longer have labels" in daemon.said)
        daemon.until(lambda: daemon.said.count("labels of containers read again") == 2)


def test_nothing_is_pruned_while_labels_are_gone_or_unreadable(house, engine, made, monkeypatch):
    """The service stays listed; the rules count again when the labels are back."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    folder = house.root / "app"
    folder.mkdir()
    (folder / "file").write_text("1")
    by_hand = house.config_file.read_text()
    settle(house, services={"labelled": {"path": str(folder)}})
    for _ in range(3):
        assert house.cli("backup", "labelled", "--full").returncode == 0
    house.config_file.write_text(by_hand)
    settle(house, docker={"labels": True})

    def left():
        done = house.cli("prune", "labelled")
        assert done.returncode == 0, done.stderr
        return len(list((house.stores["local"] / "labelled").glob("*.packrat"))), done.stderr

    labels = {"packrat.enable": "true", "packrat.retain": "1"}
    made("labelled", f"{folder}:/data", **labels)
    assert house.cli("check").returncode == 0
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    count, said = left()
    assert (count, "nothing that labels enabled is pruned" in said) == (3, True)
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    engine.docker("rm", "labelled")
    count, said = left()
    assert (count, "its containers no longer have labels" in said) == (3, True)
    assert "labelled" in {row["service"] for row in house.json("list")}
    assert "labelled" in {row["service"] for row in house.json("status")}
    made("labelled", f"{folder}:/data", **labels)
    assert left() == (1, "")


def test_hostile_labels_change_nothing(house, engine, made, monkeypatch):
    """They are refused by name, with their container."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    settle(house, docker={"labels": True})
    before = house.cli("plan").stdout
    assert "svc" in before
    made("evil", **{"packrat.enable": "true", "packrat.pre_backup.command": "touch /tmp/owned"})
    made("worse", **{"packrat.enable": "true\nservices: {x: {path: /}}"})
    made("worst", **{"packrat.enable": "true", "packrat.exclude": "x" * 100_000})
    image_with_labels(engine, "shipped", {"packrat.enable": "true"})
    made("from-image", image="shipped")
    checked = house.cli("check")
    for name, key in (("evil", "pre_backup"), ("worse", "enable"), ("worst", "exclude")):
        assert f"container {name}: label packrat.{key}" in checked.stderr
    assert "from-image" not in checked.stderr
    assert "valid: 1 service" in checked.stdout
    assert house.cli("plan").stdout == before
