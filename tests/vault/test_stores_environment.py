"""Environment: which settings a store uses, and which it ignores."""

import http.client
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from fsspec.config import conf, set_conf_env

from tests.helpers.servers import KEY, SECRET, S3Server, SshServer, running
from tests.helpers.trees import noise
from tests.vault.test_stores import parts
from vault.errors import Away
from vault.store.s3 import S3
from vault.store.sftp import Sftp
from vault.store.sftp_login import Login
from vault.store.url import UrlStore

NAME = "svc-20260101T000000Z-00112233.packrat"
DATA = noise(100_000)

pytestmark = pytest.mark.usefixtures("impatient")


def works(store):
    """Write, commit, list, read and delete; return whether everything is as expected."""
    for _ in store.write("svc", NAME, parts(DATA)):
        pass
    store.commit("svc", NAME, lambda _: None)
    assert [one.name for one in store.archives("svc")] == [NAME]
    assert store.read("svc", NAME, 0, len(DATA)) == DATA
    store.delete("svc", NAME)
    return True


def bucket(port, scheme="http"):
    return S3("it", "bucket", "x", KEY, SECRET, f"{scheme}://127.0.0.1:{port}", "us-east-1")


def test_what_other_tools_configure_for_aws_is_ignored(tmp_path, s3, monkeypatch):
    """Profiles, files below ~/.aws, endpoints and regions of the environment."""
    (tmp_path / "config").write_text(
        "[profile other]\nendpoint_url = http://127.0.0.1:1\nregion = nowhere\n"
        "s3 =\n  addressing_style = virtual\n[broken\n"
    )
    for name, value in {
        "AWS_PROFILE": "nosuchprofile",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_DEFAULT_REGION": "nowhere",
        "AWS_CA_BUNDLE": "/nonexistent",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_USE_FIPS_ENDPOINT": "true",
    }.items():
        monkeypatch.setenv(name, value)
    assert works(bucket(s3.port))


def test_what_other_tools_configure_for_fsspec_is_ignored(monkeypatch):
    """fsspec reads FSSPEC_… variables when it is imported."""
    monkeypatch.setenv("FSSPEC_MEMORY_NOSUCHOPTION", "x")
    monkeypatch.setenv("FSSPEC_MEMORY", '{"use_listings_cache": true}')
    set_conf_env(conf)
    assert conf
    assert works(UrlStore("it", "memory://ambient", {}))
    assert not conf


@pytest.fixture
def private_ca(tmp_path):
    """Run an S3 server with a private certificate; return (port, file of the authority)."""
    authority = "-x509 -newkey rsa:2048 -nodes -days 30 -keyout ca.key -out ca.pem -subj /CN=CA"
    rights = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
    request = "-newkey rsa:2048 -nodes -keyout srv.key -out srv.csr -subj /CN=127.0.0.1"
    signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -out srv.pem -extfile ext"
    (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for command in (
        f"openssl req {authority} {rights}",
        f"openssl req {request}",
        f"openssl x509 -req -in srv.csr {signing}",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    server = S3Server(tmp_path / "s3")
    command = [server.program, "serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
    command += ["--addr", f"127.0.0.1:{server.port}", "--cert", tmp_path / "srv.pem"]
    command += ["--key", tmp_path / "srv.key", "--dir-cache-time", "24h", server.folder]
    with running(command, server.port):
        yield server.port, str(tmp_path / "ca.pem")


def test_an_authority_that_the_system_trusts_is_trusted(private_ca, monkeypatch):
    """For reading and writing alike; an untrusted one is refused with the remedy."""
    port, authority = private_ca
    with pytest.raises(Away, match="CERTIFICATE_VERIFY_FAILED") as caught:
        works(bucket(port, "https"))
    assert "SSL_CERT_FILE" in caught.value.hint
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    assert works(bucket(port, "https"))


class Proxy(ThreadingHTTPServer):
    """HTTP proxy that counts requests by method."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self):
        self.server.seen.append(self.command)
        at = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        line = http.client.HTTPConnection(at.hostname, at.port)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        line.request(self.command, f"{at.path}?{at.query}", body, headers)
        answer = line.getresponse()
        data = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_):
        """Print nothing."""


def test_the_systems_proxy_counts_for_reading_and_writing(s3, monkeypatch):
    """All requests use it, except those to hosts that no_proxy names."""
    proxy = Proxy()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert works(bucket(s3.port))
    assert {"GET", "PUT", "POST", "DELETE"} <= set(proxy.seen)
    proxy.seen.clear()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert works(bucket(s3.port))
    assert proxy.seen == []
    proxy.shutdown()


@pytest.mark.parametrize("passphrase", ["a passphrase", "a wrong one", None])
def test_a_key_with_a_passphrase_in_openssh_format(tmp_path, passphrase):
    """It works, and a wrong or missing passphrase is named."""
    server = SshServer(tmp_path / "nas", passphrase="a passphrase")
    key = str(server.folder / "user")
    login = Login(
        "127.0.0.1",
        server.port,
        "root",
        key_file=key,
        passphrase=passphrase,
        host_key=server.fingerprint,
    )
    with server.up():
        store = Sftp("it", "x", login)
        if passphrase == "a passphrase":
            assert works(store)
        else:
            with pytest.raises(Away, match="key file") as caught:
                works(store)
            assert "passphrase" in caught.value.hint
