"""Hostile servers that send too much, for ever, or nonsense: reported in time, in little memory.

Each trial is a separate process, which reports its peak memory.
"""

import json
import subprocess
import sys

import pytest

from tests.helpers.hostile import HostileS3, HostileSftp
from tests.helpers.sampling import daily

SECONDS = 60
MEMORY_MB = 300

TRIAL = """
import json, sys
from vault.errors import VaultError
from vault.store import calls, retrying
from vault.store.retrying import Retrying
calls.PATIENCE_SECONDS, retrying.BACKOFF_SECONDS = 3.0, 0.1
kind, port, key, call = sys.argv[1:]
if kind == "s3":
    from vault.store import s3
    s3.LIST_SECONDS = 5
    store = s3.S3("it", "bucket", "", "KEY", "SECRET", f"http://127.0.0.1:{port}")
else:
    from vault.store.sftp import Sftp
    from vault.store.sftp_login import Login
    store = Sftp("it", "x", Login("127.0.0.1", int(port), "root", host_key=key))
store = Retrying(store)
try:
    done = store.files("svc") if call == "files" else store.read("svc", "name", 0, 100)
    said = f"done: {len(done)}"
except VaultError as error:
    said = f"{type(error).__name__}: {error}"
# Not ru_maxrss, which begins with what the parent had.
[line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([said, int(line.split()[1]) / 1024]))
"""


def trial(kind, port, call, key=""):
    """Call a store in a separate process; return what it printed, and its memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, kind, str(port), key, call],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, memory = json.loads(done.stdout)
    assert memory < MEMORY_MB, said
    return said


@pytest.mark.parametrize("mode", daily(HostileS3.MODES, ["too much"]))
def test_a_hostile_s3_server_is_reported(mode):
    """Reading a range of 100 bytes, and listing, end with one error of that destination."""
    server = HostileS3(mode)
    read = trial("s3", server.port, "read")
    assert read.startswith(("Away", "Retryable", "NotThere")), read
    if mode not in ("too much", "too much, unannounced", "ignores the range", "another range"):
        files = trial("s3", server.port, "files")
        assert files.startswith(("Away", "Retryable")), files
        assert "destination it" in files
    server.shutdown()


@pytest.mark.parametrize("call", daily(["read", "files"], ["read"]))
def test_a_hostile_sftp_server_is_reported(call):
    """More than was requested, and a folder without an end."""
    server = HostileSftp()
    said = trial("sftp", server.port, call, server.fingerprint)
    assert said.startswith(("Away", "Retryable")), said
