"""Destination on an SSH server."""

import os
import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from specs.destinations.base import DestinationSection
from specs.secret import Password
from specs.values import LocalPath, refusal

if TYPE_CHECKING:
    from vault.store.base import Store
    from vault.store.sftp_login import Login


def check_host_key(text: str) -> str:
    """Accept a fingerprint as `ssh-keygen -l` prints it.

    Raises:
        PydanticCustomError: It is not one.
    """
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", text):
        raise refusal("not a fingerprint", 'write "SHA256:…" as ssh-keygen -l prints it')
    return text


def check_remote_path(text: str) -> str:
    """Accept a path on an SSH server; `~/` is the login folder, where relative paths begin.

    Raises:
        PydanticCustomError: It is in the home of another user.
    """
    if text == "~" or text.startswith("~/"):
        return text[2:] or "."
    if text.startswith("~"):
        raise refusal(
            "not a path", "write it with a leading slash, or relative to the login folder"
        )
    return text


class Sftp(DestinationSection):
    """A folder on an SSH server, such as a Synology NAS."""

    distance: ClassVar[int] = 1
    type: Literal["sftp"] = "sftp"
    """`sftp`; may be left out in `backup.synology`."""
    host: Annotated[str, Field(min_length=1, examples=["192.168.1.100"])]
    """The server's name or address."""
    port: int = Field(22, ge=1, le=65535)
    """The port of its SSH server."""
    username: Annotated[str, Field(min_length=1, examples=["backups"])]
    """The user to log in as."""
    key_file: LocalPath | None = None
    """The private key on this machine."""
    password: Password | None = None
    """The password; with `key_file` and without `passphrase`, the passphrase of that key."""
    passphrase: Password | None = None
    """The passphrase of the key file."""
    path: Annotated[str, AfterValidator(check_remote_path)] = "."
    """The folder on the server; a relative path starts at the login folder."""
    known_hosts: LocalPath | None = None
    """File of accepted host keys; by default ~/.ssh/known_hosts, then one beside packrat's key."""
    host_key: Annotated[str, AfterValidator(check_host_key)] | None = None
    """The fingerprint of the one host key to accept."""

    @property
    def where(self) -> str:
        """The user, the server, and the folder on it."""
        return f"sftp {self.username}@{self.host}, port {self.port}, folder {self.path}"

    def store(self, name: str, accepted_hosts: str) -> "Store":
        """Return the store behind the server."""
        from vault.store import sftp
        from vault.store.retrying import Retrying

        return Retrying(sftp.Sftp(name, self.path, self._login(accepted_hosts)))

    def _login(self, accepted_hosts: str) -> "Login":
        from vault.store.sftp_login import Login

        password = self.password.resolve() if self.password else None
        passphrase = self.passphrase.resolve() if self.passphrase else None
        if self.key_file and not self.passphrase:
            passphrase, password = password, None
        known_hosts = [os.path.expanduser("~/.ssh/known_hosts"), accepted_hosts]
        return Login(
            self.host,
            self.port,
            self.username,
            key_file=self.key_file,
            passphrase=passphrase,
            password=password,
            known_hosts=[self.known_hosts] if self.known_hosts else known_hosts,
            host_key=self.host_key,
        )
