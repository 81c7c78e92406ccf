"""HTTP server that records the notifications and pings it receives."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Ears(ThreadingHTTPServer):
    """Server that records what is sent, and answers 500 to the first `deaf` requests."""

    daemon_threads = True

    def __init__(self, *, deaf=0, silent=False):
        self.heard, self.deaf, self.silent = [], deaf, silent
        super().__init__(("127.0.0.1", 0), Ear)
        self.port = self.server_address[1]

    def posts(self):
        """The messages that the notification service has received."""
        return [(b["title"], b["message"], b["type"]) for p, b in self.heard if p == "/notify"]

    def pings(self):
        return [path.removeprefix("/ping") for path, _ in self.heard if path.startswith("/ping")]


class Ear(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.server.silent:
            time.sleep(60)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.deaf -= 1
        if self.server.deaf < 0:
            known = json.loads(body) if self.path == "/notify" else body.decode()
            self.server.heard.append((self.path, known))
        self.send_response(500 if self.server.deaf >= 0 else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def ears(**more):
    """Run the server while the context lasts."""
    server = Ears(**more)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
