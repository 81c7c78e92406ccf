"""Hostile servers: S3 and SFTP that send too much, or endlessly."""

import asyncio
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import asyncssh

LIST = '<?xml version="1.0"?><ListBucketResult>{}</ListBucketResult>'
ENTRY = "<Contents><Key>svc/{}</Key><Size>1</Size></Contents>"
TWO_GB = 2 << 30
BLOCK = bytes(1 << 20)


class HostileS3(ThreadingHTTPServer):
    """S3 server that answers every request in one of the hostile `MODES`."""

    daemon_threads = True
    MODES = (
        "too much",
        "too much, unannounced",
        "ignores the range",
        "another range",
        "endless listing",
        "the same token for ever",
        "no token",
        "entry without a key",
        "wide listing",
        "endless error",
        "endless answer",
        "no XML",
    )

    def __init__(self, mode: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode, self.pages, self.port = mode, 0, self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Print nothing when the client hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileS3

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        while size > 0:
            size -= len(self.rfile.read(min(size, 1 << 20)))
        mode, page = self.server.mode, self.server.pages
        self.server.pages += 1
        if "list-type" not in self.path:
            self._object(mode)
        elif mode in ("endless error", "endless answer"):
            self._endless(503 if mode == "endless error" else 200)
        else:
            entries = "".join(ENTRY.format(f"x{page}-{n}") for n in range(1000))
            more = "<IsTruncated>true</IsTruncated>"
            token = "<NextContinuationToken>t{}</NextContinuationToken>"
            self._send(
                {
                    "endless listing": LIST.format(more + token.format(page) + entries),
                    "the same token for ever": LIST.format(more + token.format(0) + entries),
                    "no token": LIST.format(more + entries),
                    "entry without a key": LIST.format("<Contents><Size>1</Size></Contents>"),
                    "wide listing": LIST.format("<a/>" * (4 << 20)),
                    "no XML": "<html>" * 1000,
                }.get(mode, LIST.format(""))
            )

    def _object(self, mode: str) -> None:
        match mode:
            case "endless error" | "endless answer":
                self._endless(503)
            case "too much":
                self._stream(206, "bytes 0-99/2147483648", announced=TWO_GB)
            case "too much, unannounced":
                self._stream(206, "bytes 0-99/2147483648")
            case "ignores the range":
                self._stream(200, None, announced=TWO_GB)
            case "another range":
                self._stream(206, "bytes 7-106/1000", announced=100)
            case _:
                self._send("<Error><Code>NoSuchKey</Code></Error>", 404)

    def _send(self, text: str, status: int = 200) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, status: int, span: str | None, announced: int | None = None) -> None:
        self.send_response(status)
        if span:
            self.send_header("Content-Range", span)
        if announced:
            self.send_header("Content-Length", str(announced))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            for _ in range(0, announced or TWO_GB, len(BLOCK)):
                self.wfile.write(BLOCK[: announced or len(BLOCK)])

    def _endless(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"<Error><Code>SlowDown</Code><Message>")
            while True:
                self.wfile.write(BLOCK)
                time.sleep(0.001)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class HostileSftp:
    """SFTP server that sends more than was requested, and lists files endlessly."""

    def __init__(self) -> None:
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.fingerprint = self.key.get_fingerprint()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(30)

    async def _start(self) -> int:
        listening = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self.key],
            server_factory=_Anybody,
            sftp_factory=_Lying,
        )
        return listening.get_port()


class _Anybody(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        del username
        return False


class _Lying(asyncssh.SFTPServer):
    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        del file_obj, offset
        return bytes(size * 8)

    async def scandir(self, path: bytes):
        del path
        number = 0
        while True:
            number += 1
            attributes = asyncssh.SFTPAttrs(size=1, permissions=0o100644)
            yield asyncssh.SFTPName(f"x{number}".encode() * 20, attrs=attributes)

    async def open(self, path: bytes, *_: object) -> object:
        del path
        return object()

    async def close(self, file_obj: object) -> None:
        del file_obj

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        del path
        return asyncssh.SFTPAttrs(size=1 << 40, permissions=0o100644)
