"""A Docker engine that takes clients with a certificate only."""

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.sampling import daily

pytestmark = pytest.mark.root


@pytest.fixture
def tls(tmp_path):
    """Certificates for an engine that only answers its own clients."""
    need("openssl", "apt install openssl")
    folder = tmp_path / "tls"
    folder.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=CA",
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    (folder / "ext").write_text(
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr",
            "-subj", "/CN=both")  # fmt: skip
    openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "9", "-out", "cert.pem", "-extfile", "ext")  # fmt: skip
    return folder


@contextmanager
def engine_with_tls(folder, tls):
    """Run an engine on a TCP port of this machine, for clients with a certificate only."""
    dockerd = need("dockerd", "apt install docker.io iptables, as root")
    need("docker", "apt install docker.io")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    command = [dockerd, "--host", host, "--tlsverify", "--tlscacert", tls / "ca.pem",
               "--tlscert", tls / "cert.pem", "--tlskey", tls / "key.pem",
               "--data-root", folder / "data", "--exec-root", folder / "exec",
               "--pidfile", folder / "pid", "--bridge", "none", "--iptables=false",
               "--ip6tables=false"]  # fmt: skip
    with open(folder / "log", "ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as it:
        try:
            for _ in range(300):
                asked = subprocess.run(
                    ["docker", "-H", host, "ps"], capture_output=True, check=False
                )
                if asked.returncode == 0:
                    break
                time.sleep(0.1)
            else:
                pytest.fail(f"dockerd does not answer: {(folder / 'log').read_text()[-2000:]}")
            yield host
        finally:
            it.terminate()


@pytest.mark.parametrize("by", daily(["docker.host", "DOCKER_HOST", "context"], ["context"]))
def test_an_engine_with_tls_is_reached_as_docker_reaches_it(tmp_path, tls, monkeypatch, by):
    """With the certificates of the environment, or of the current context."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would replace the engine's CA
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tls))
    folder = Path(tempfile.mkdtemp(prefix="dk-", dir="/var/tmp"))
    try:
        with engine_with_tls(folder, tls) as host:
            docker = {"container": "app"}
            if by == "docker.host":
                docker["host"] = host
            elif by == "DOCKER_HOST":
                monkeypatch.setenv("DOCKER_HOST", host)
            else:
                for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
                    monkeypatch.delenv(name)
                monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
                (tmp_path / "docker").mkdir()
                (tmp_path / "docker" / "config.json").write_text("{}")
                files = "".join(f",{key}={tls / key}.pem" for key in ("ca", "cert", "key"))
                made = ["docker", "context", "create", "far", "--docker", f"host={host}{files}"]
                subprocess.run(made, check=True, capture_output=True)
                monkeypatch.setenv("DOCKER_CONTEXT", "far")
            result = House(tmp_path, settings={"docker": docker}).back_up()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert result.error == "there is no container app; docker ps --all shows those there are"
