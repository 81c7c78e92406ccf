"""`listen:`: health and metrics over HTTP, from threads beside the daemon's loop."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from packrat.daemon.metrics import exposition
from packrat.errors import Unusable
from packrat.runs.history import History
from packrat.verbs.status import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from packrat.daemon.active_config import InForce

PATIENCE_SECONDS = 10.0


@contextmanager
def serve(inforce: InForce, lives: Callable[[], bool]) -> Iterator[int]:
    """Serve /metrics and /healthz while the context lasts; gives the port. Raises Unusable."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_SECONDS

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/healthz":
                well = lives()
                self._answer(200 if well else 503, b"ok\n" if well else b"the loop is stuck\n")
            elif self.path.partition("?")[0] == "/metrics":
                config = inforce.config
                with closing(History(config.state_dir)) as history:
                    rows = look(config, history, time.time())
                self._answer(200, exposition(rows), "text/plain; version=0.0.4; charset=utf-8")
            else:
                self._answer(404, b"there are /metrics and /healthz\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape is no event."""

    listen = inforce.config.listen or ""
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
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(address, handler)
