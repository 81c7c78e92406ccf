"""Every kind of store on a real server, with an independent client to inspect it."""

import itertools
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import fsspec
import pytest
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
from vault.store.local import Local
from vault.store.s3 import S3
from vault.store.sftp import Sftp
from vault.store.sftp_login import Login
from vault.store.url import UrlStore

KINDS = ["local", "memory", "s3 refusing newer headers", "s3 moto", "sftp", "sftp chroot", "webdav"]
NETWORK = KINDS[2:]
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


class At:
    """A store as two processes see it, with an independent view of its files."""

    def __init__(self, kind: str, servers: Servers) -> None:
        self.kind = kind
        self.servers = servers
        self.sending = kind in NETWORK and kind != "webdav"
        """True if it sends parts as they come, several in parallel."""
        match kind:
            case "local":
                self.port, self.side, self.root = 0, LocalFileSystem(), f"{servers.folder}/disk/x"
            case "memory":
                self.port, self.side, self.root = 0, fsspec.filesystem("memory"), "/x"
            case "s3 refusing newer headers":
                self.port = servers.picky.port
                self.side, self.root = s3_client(servers.s3.port), "bucket/x"
            case "s3 moto":
                self.port = servers.moto.port
                self.side, self.root = s3_client(self.port), "bucket/y"
            case "sftp":
                self.port = servers.nas.port
                self.side, self.root = LocalFileSystem(), f"{servers.nas.folder}/login/x"
            case "sftp chroot":
                self.port = servers.jail.port
                self.side, self.root = LocalFileSystem(), f"{servers.jail.jail}/share/x"
            case "webdav":
                self.port, self.root = servers.webdav.port, "x"
                options = servers.webdav.options()
                self.side = fsspec.filesystem("webdav", skip_instance_cache=True, **options)
        self.writer, self.reader = self.open(), self.open()

    def open(self, port: int | None = None):
        """Open the store, through another port if one is given."""
        port = port or self.port
        match self.kind:
            case "local":
                return Local("it", self.root)
            case "memory":
                return UrlStore("it", "memory://x", {})
            case "s3 refusing newer headers" | "s3 moto":
                bucket, path = self.root.split("/")
                url = f"http://127.0.0.1:{port}"
                return S3("it", bucket, path, KEY, SECRET, url, "us-east-1")
            case "webdav":
                return UrlStore("it", "webdav://x", self.servers.webdav.options(port))
        server = self.servers.nas if self.kind == "sftp" else self.servers.jail
        key = str(server.folder / "user")
        login = Login("127.0.0.1", port, "root", key_file=key, host_key=server.fingerprint)
        return Sftp("it", "x" if self.kind == "sftp" else "/share/x", login)

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
