"""HTTP server of the daemon for `listen:`: health and metrics, in threads of its own.

It has no login. On a loopback address it answers only requests for a loopback name, so that a web
page in a browser of this machine cannot read it under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from packrat.daemon.metrics import exposition
from packrat.errors import Unusable
from packrat.runs.history import History
from packrat.runs.status import service_rows
from specs.exposure import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from packrat.daemon.active_config import ActiveConfig

PATIENCE_SECONDS = 10.0
"""Longest wait for the next bytes of a request."""
REQUEST_SECONDS = 30.0
"""Longest time for a connection, however busy it is."""
MOST_THREADS = 8
"""Requests answered at once; more are closed without an answer."""


@contextmanager
def serve(active: ActiveConfig, lives: Callable[[], bool]) -> Iterator[int]:
    """Serve /metrics and /healthz while the context lasts. Yield the port.

    Raises:
        Unusable: The address cannot be listened on.
    """
    listen = active.config.listen or ""
    local = is_loopback(listen)

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_SECONDS

        def do_GET(self) -> None:
            """Answer a request."""
            asked = self.headers.get("Host")
            if local and asked and not is_loopback(asked if _has_port(asked) else f"{asked}:80"):
                self._answer(403, b"only a loopback name is answered here\n")
            elif self.path == "/healthz":
                fault = b"" if lives() else b"the loop is stuck\n"
                if active.faults:
                    fault = b"the configuration has faults; the previous one stays in use\n"
                self._answer(503 if fault else 200, fault or b"ok\n")
            elif self.path.partition("?")[0] == "/metrics":
                config = active.config
                with closing(History(config.state_dir)) as history:
                    rows = service_rows(config, history, time.time())
                text = exposition(rows, config_ok=not active.faults)
                self._answer(200, text, "text/plain; version=0.0.4; charset=utf-8")
            else:
                self._answer(404, b"there are /metrics and /healthz\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: scrapes are too frequent."""

    host, _, port = listen.rpartition(":")
    try:
        server = _Server((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise Unusable(
            f"cannot listen on {listen}: {error.strerror}", "choose another listen: address"
        ) from None
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Server with a bounded number of threads and a bounded time for each connection."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(MOST_THREADS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it when all threads are busy."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, and end a connection that takes too long."""
        end = threading.Timer(REQUEST_SECONDS, _cut, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, *_: object) -> None:
        """Log nothing: clients may hang up at any time."""


def _cut(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has already ended
        return


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")
