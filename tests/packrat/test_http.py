"""HTTP server for health and metrics: accepted names, and limits on clients."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from packrat.daemon import http as server
from packrat.daemon.active_config import ActiveConfig
from tests.helpers.daemons import Running, settle
from tests.helpers.servers import free_port


@pytest.fixture
def listening(house):
    """Serve on an address; return its port."""
    with ExitStack() as stack:

        def listening(address="127.0.0.1"):
            settle(house, listen=f"{address}:{free_port()}")
            active = ActiveConfig(str(house.config_file))
            return stack.enter_context(server.serve(active, lambda: True))

        yield listening


def ask(port, host, path="/metrics"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    return connection.getresponse().status


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9180", "[::1]:9180", "[::1]", None])
def test_a_loopback_name_is_answered(listening, host):
    assert ask(listening(), host) == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:9180", "192.168.1.5", "x]"])
def test_another_name_is_refused_on_loopback(listening, host, path):
    """A web page can reach 127.0.0.1 under a name of its own (DNS rebinding)."""
    assert ask(listening(), host, path) == 403


def test_any_name_is_answered_off_loopback(listening):
    """Prometheus uses the name under which it knows the machine."""
    assert ask(listening("0.0.0.0"), "homelab:9180") == 200


def test_connections_do_not_start_threads_without_bound(listening):
    port = listening()
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(1)
        # Each served connection has a thread and its timer.
        assert threading.active_count() - before <= 2 * server.MOST_THREADS
    end = time.monotonic() + 20
    while (status := _try(port)) != 200:
        assert time.monotonic() < end, status
        time.sleep(0.1)


def _try(port):
    try:
        return ask(port, "localhost")
    except (OSError, http.client.HTTPException):
        return None


def test_a_client_that_sends_one_byte_at_a_time_is_disconnected(listening, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", listening())) as client:
        begun = time.monotonic()
        with suppress(OSError):  # reset, or a broken pipe
            while time.monotonic() - begun < 10:
                client.send(b"x")
                time.sleep(0.1)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("address", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_an_address_that_other_machines_reach_causes_a_warning(house, address, warned):
    settle(house, listen=f"{address}:{free_port()}")
    with Running(house) as daemon:
        daemon.until(lambda: "packrat is up" in daemon.said)
    assert ("is not a loopback address" in daemon.said) is warned
    assert ("is not a loopback address" in house.cli("check").stdout) is warned
