"""Models of the destinations: one for each type, and the `backup:` section that names them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from specs import described
from specs.options import Options
from specs.secret import Password
from specs.values import LocalPath, Name, Rate, refusal


class Section(BaseModel):
    """A mapping of the configuration: immutable, and an unknown key is a fault."""

    # A plain number keeps its text (see specs.document), so `username: 1000` means "1000".
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=described.wanted,
    )


def check_endpoint(text: str | None) -> str | None:
    """Accept a URL, or nothing for AWS.

    Raises:
        PydanticCustomError: It lacks http or https, or a host.
    """
    if text and not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise refusal("not a URL", "write such as https://s3.us-west-001.backblazeb2.com")
    return text or None


def check_bucket(text: str) -> str:
    """Accept a bucket's name, without the folders inside.

    Raises:
        PydanticCustomError: It is empty, or a path.
    """
    if not re.fullmatch(r"[^\s/:]+", text):
        raise refusal(
            "not a bucket's name", "write the name alone, and the folders inside it in path:"
        )
    return text


def check_host_key(text: str) -> str:
    """Accept a fingerprint as `ssh-keygen -l` prints it.

    Raises:
        PydanticCustomError: It is not one.
    """
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", text):
        raise refusal("not a fingerprint", 'write "SHA256:…" as ssh-keygen -l prints it')
    return text


def check_key(text: str) -> str:
    """Accept a path inside a bucket.

    Raises:
        PydanticCustomError: It has an empty, `.` or `..` part, which S3 would take literally.
    """
    if any(part in ("", ".", "..") for part in text.strip("/").split("/")) and text.strip("/"):
        raise refusal("not a folder in a bucket", "write such as backups/packrat")
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


def check_url(text: str) -> str:
    """Accept a URL of fsspec, without a password.

    Raises:
        PydanticCustomError: It has no protocol, or a password.
    """
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S*", text) or text.startswith("file:"):
        raise refusal("not a URL of a filesystem", "write such as webdav://backups/packrat")
    if "@" in text and ":" in text.partition("://")[2].rpartition("@")[0]:
        raise refusal("a URL with a password", "put the password into options:, by reference")
    return text


class Local(Section):
    """A folder of this machine: another disk, or a share that is mounted."""

    type: Literal["local"] = "local"
    """`local`; may be left out in `backup.local`."""
    path: LocalPath
    """The folder; a relative path starts at the configuration's folder."""
    limit: Rate | None = None
    """Maximum write rate, in bytes a second."""


class S3(Section):
    """A bucket at AWS, Backblaze B2, MinIO or another S3 service."""

    type: Literal["s3"] = "s3"
    """`s3`; may be left out in `backup.s3`."""
    endpoint: Annotated[str | None, AfterValidator(check_endpoint)] = None
    """The server's URL; empty for AWS."""
    region: str | None = None
    """The region's name, such as `us-west-001`."""
    bucket: Annotated[str, AfterValidator(check_bucket)] = Field(examples=["homelab-backups"])
    """The bucket's name. It must exist."""
    access_key_id: Password = Field(examples=["{env: ACCESS_KEY_ID}"])
    """The access key id (keyID at B2)."""
    secret_access_key: Password = Field(examples=["{env: SECRET_ACCESS_KEY}"])
    """The secret key (applicationKey at B2)."""
    path: Annotated[str, AfterValidator(check_key)] = ""
    """The folder inside the bucket."""
    limit: Rate | None = None
    """The most that is uploaded, in bytes a second."""


class Sftp(Section):
    """A folder on an SSH server, such as a Synology NAS."""

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
    limit: Rate | None = None
    """The most that is uploaded, in bytes a second."""


class Fsspec(Section):
    """A folder in any filesystem of fsspec, such as WebDAV, SMB, Google Cloud Storage or Azure."""

    type: Literal["fsspec"] = "fsspec"
    """`fsspec`."""
    url: Annotated[str, AfterValidator(check_url)] = Field(examples=["webdav://backups/packrat"])
    """Protocol and folder, in fsspec's form."""
    options: Options = Field(default_factory=dict)
    """Further options of the filesystem; secrets by reference."""
    limit: Rate | None = None
    """The most that is uploaded, in bytes a second."""


Destination = Local | S3 | Sftp | Fsspec
Typed = Annotated[Destination, Field(discriminator="type")]


class Backup(Section):
    """The destinations, and defaults for every service."""

    retain_backups: int = Field(7, ge=1)
    """Number of backups of a service that each destination keeps."""
    confirm: Literal["samples", "full"] = "samples"
    """Part of a new archive that is read back before it counts: both ends and samples, or all."""
    local: Local | None = None
    """The destination named `local`: a folder of this machine."""
    synology: Sftp | None = None
    """The destination named `synology`: SFTP."""
    s3: S3 | None = None
    """The destination named `s3`."""
    destinations: dict[Name, Typed] = Field(default_factory=dict)
    """Further destinations by name, each with its `type`: local, s3, sftp or fsspec."""

    def named(self) -> dict[str, Destination]:
        """Return every destination by name: local, synology, s3, then the others as written."""
        fixed = {"local": self.local, "synology": self.synology, "s3": self.s3}
        return {name: one for name, one in fixed.items() if one} | self.destinations
