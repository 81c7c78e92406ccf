"""Login at an SSH server: keys, passwords, and accepted host keys."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault.errors import Away, UnknownHost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from vault.store.base import Store

CONNECT_SECONDS = 20
FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""Preferred: every processor has AES. asyncssh prefers ChaCha20, which is half as fast."""
SSH_PORT = 22
MITM = "the connection may be intercepted; if the server was reinstalled,"


@dataclass(repr=False)
class Login:
    """Parameters of a login, and the host key that the server showed last."""

    host: str
    port: int
    username: str
    key_file: str | None = None
    passphrase: str | None = None
    password: str | None = None
    known_hosts: Sequence[str] = ()
    """Files of accepted host keys, as far as they exist."""
    host_key: str | None = None
    """Fingerprint; if given, it is the only key that is accepted."""
    shown: Any = None
    """The host key the server showed last."""

    @property
    def server(self) -> str:
        """Server, as shown in messages."""
        return f"{self.username}@{self.host}:{self.port}"

    def refused_key(self, store: Store, action: str) -> Away:
        """Return the error for a host key that was not accepted."""
        shown = self.shown.get_fingerprint() if self.shown else "of a kind not accepted before"
        where = f"[{self.host}]:{self.port}" if self.port != SSH_PORT else self.host
        if self.host_key:
            why = f"the host key of {where} is {shown}, not {self.host_key}"
            return store.fault(action, why, f"{MITM} change host_key")
        if self._known():
            why = f"the host key of {where} has changed: it is {shown}"
            return store.fault(
                action, why, f"{MITM} remove the old key with: ssh-keygen -R '{where}'"
            )
        fault = store.fault(
            action,
            f"the host key of {where} is unknown: {shown}",
            "compare it with the server's own, then accept it with: packrat check --connect",
            UnknownHost,
        )
        if self.shown and isinstance(fault, UnknownHost):
            fault.fingerprint = shown
            key = self.shown.export_public_key("openssh").decode().split()
            fault.line = f"{where} {key[0]} {key[1]}"
        return fault

    def _known(self) -> bool:
        import asyncssh

        for file in self.known_hosts:
            with suppress(OSError, ValueError):
                if asyncssh.match_known_hosts(file, self.host, "", self.port)[0]:
                    return True
        return False


def connect(login: Login, loop: asyncio.AbstractEventLoop) -> Any:
    """Return sshfs's filesystem, logged in; raises what asyncssh raises."""
    import asyncssh
    from sshfs import SSHFileSystem

    class Client(asyncssh.SSHClient):
        """SSH client that records a host key which is in no file of accepted ones."""

        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            del host, addr, port
            login.shown = key
            return key.get_fingerprint() == login.host_key

    class OnLoop(SSHFileSystem):  # type: ignore[misc]
        """Filesystem on our loop. As an argument, asyncssh would get the loop and refuse it."""

        @property
        def loop(self) -> asyncio.AbstractEventLoop:
            return loop

    known_hosts = [file for file in login.known_hosts if os.path.exists(file)]
    secrets = {"passphrase": login.passphrase} if login.key_file else {}
    return OnLoop(
        login.host,
        port=login.port,
        username=login.username,
        client_keys=[login.key_file] if login.key_file else None,
        password=login.password,
        # With no accepted keys this is b"": None would accept every key.
        known_hosts=([] if login.host_key else known_hosts) or b"",
        client_factory=Client,
        connect_timeout=CONNECT_SECONDS,
        login_timeout=CONNECT_SECONDS,
        keepalive_interval=15,
        keepalive_count_max=3,
        encryption_algs=FAST_CIPHERS,
        config=None,  # ~/.ssh/config is not ours
        agent_path=None,
        timeout=2 * CONNECT_SECONDS,
        skip_instance_cache=True,
        sftp_client_kwargs={"path_errors": "surrogateescape"},
        **secrets,
    )
