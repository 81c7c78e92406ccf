"""Every kind of store on a real server, with an independent client to inspect it."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from tests.helpers.servers import (
    KEY,
    SECRET,
    Line,
    MotoServer,
    Picky,
    S3Server,
    SshServer,
    WebDavServer,
)
from vault.store.base import Store
from vault.store.local import Local
from vault.store.s3 import S3
from vault.store.sftp import Sftp
from vault.store.sftp_login import Login
from vault.store.url import UrlStore

number = itertools.count()


class Servers:
    """Servers that are started when a kind first needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self._up = {}

    def get(self, name, make):
        if name not in self._up:
            self._up[name] = server = make()
            self.stack.enter_context(server.up())
        return self._up[name]

    @property
    def s3(self):
        return self.get("s3", lambda: S3Server(self.folder / "s3"))

    @property
    def picky(self):
        if "picky" not in self._up:
            self._up["picky"] = Picky(self.s3.port)
            self.stack.callback(self._up["picky"].shutdown)
        return self._up["picky"]

    @property
    def moto(self):
        return self.get("moto", MotoServer)

    @property
    def nas(self):
        return self.get("nas", lambda: SshServer(self.folder / "nas"))

    @property
    def jail(self):
        if os.geteuid() != 0:
            pytest.skip("needs root: a chroot")
        # OpenSSH wants a jail of which every folder above belongs to root alone; /tmp does not.
        return self.get("jail", lambda: SshServer(self._root_owned() / "nas", chroot=True))

    def _root_owned(self):
        folder = Path(tempfile.mkdtemp(prefix="packrat-jail-", dir="/run"))
        folder.chmod(0o755)
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @property
    def webdav(self):
        return self.get("webdav", lambda: WebDavServer(self.folder / "webdav"))


class Place(NamedTuple):
    """Where a kind of store keeps its files, and how to open it."""

    port: int
    """Port of its server; 0 without one."""
    side: AbstractFileSystem
    """Independent view of the files."""
    root: str
    """Path of the root in that view."""
    open: Callable[[int], Store]
    """Return the store; the argument is the port to use."""


def _local(servers):
    root = f"{servers.folder}/disk/x"
    return Place(0, LocalFileSystem(), root, lambda _: Local("it", root))


def _memory(_):
    return Place(0, fsspec.filesystem("memory"), "/x", lambda _: UrlStore("it", "memory://x", {}))


def _s3(port, server, path):
    def open_it(port):
        url = f"http://127.0.0.1:{port}"
        return S3("it", "bucket", path, KEY, SECRET, url, "us-east-1")

    return Place(port, s3_client(server.port), f"bucket/{path}", open_it)


def _sftp(server, folder, path):
    def open_it(port):
        key = str(server.folder / "user")
        login = Login("127.0.0.1", port, "root", key_file=key, host_key=server.fingerprint)
        return Sftp("it", path, login)

    return Place(server.port, LocalFileSystem(), f"{folder}/{path.strip('/')}", open_it)


def _webdav(servers):
    server = servers.webdav
    side = fsspec.filesystem("webdav", skip_instance_cache=True, **server.options())
    return Place(
        server.port, side, "x", lambda port: UrlStore("it", "webdav://x", server.options(port))
    )


ROWS = {
    "local": _local,
    "memory": _memory,
    "s3 refusing newer headers": lambda at: _s3(at.picky.port, at.s3, "x"),
    "s3 moto": lambda at: _s3(at.moto.port, at.moto, "y"),
    "sftp": lambda at: _sftp(at.nas, at.nas.folder / "login", "x"),
    "sftp chroot": lambda at: _sftp(at.jail, at.jail.jail, "/share/x"),
    "webdav": _webdav,
}
"""Kind of store -> its place. A new kind is one row (CONTRIBUTING.md)."""
KINDS = list(ROWS)
NETWORK = KINDS[2:]


class At:
    """A store as two processes see it, with an independent view of its files."""

    def __init__(self, kind: str, servers: Servers) -> None:
        self.kind = kind
        self.port, self.side, self.root, self._open = ROWS[kind](servers)
        self.writer, self.reader = self.open(), self.open()
        self.sending = kind in NETWORK and self.writer.properties.streams_writes
        """True if it sends parts as they come, several in parallel."""

    def open(self, port: int | None = None):
        """Open the store, through another port if one is given."""
        return self._open(port or self.port)

    def line(self, **faults) -> Line:
        """Return a line to the server that can be cut, silent or slow."""
        return Line(self.port, **faults)

    def begin(self) -> None:
        """Switch to a service that no test has used so far."""
        self.service = f"svc{next(number)}"
        self.name = f"{self.service}-20260101T000000Z-00112233.packrat"
        self.other = f"{self.service}-20260102T000000Z-44556677.packrat"

    def put(self, name: str, data: bytes) -> None:
        """Write a file without the store."""
        folder = f"{self.root}/{self.service}"
        if not self.kind.startswith("s3"):
            self.side.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        self.side.pipe_file(f"{folder}/{name}", data)

    @property
    def archives(self):
        return self.reader.archives(self.service)

    @property
    def files(self) -> list[str]:
        """The names of all existing files."""
        self.side.invalidate_cache()
        with suppress(FileNotFoundError):
            found = self.side.find(f"{self.root}/{self.service}")
            return sorted(path.rpartition("/")[2] for path in found)
        return []

    @property
    def uploads(self) -> list:
        """The unfinished uploads that an S3 server lists."""
        if not self.kind.startswith("s3"):
            return []
        bucket, path = self.root.split("/")
        prefix = f"{path}/{self.service}/"
        try:
            answer = self.side.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
        except FileNotFoundError:
            return []
        return [one for one in answer.get("Uploads") or [] if one["Key"].startswith(prefix)]


def s3_client(port):
    """Return an independent S3 client."""
    return fsspec.filesystem(
        "s3",
        key=KEY,
        secret=SECRET,
        endpoint_url=f"http://127.0.0.1:{port}",
        config_kwargs={"request_checksum_calculation": "when_required"},
        client_kwargs={"region_name": "us-east-1"},
        skip_instance_cache=True,
        use_listings_cache=False,
    )
