"""Destination in an S3 bucket."""

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from specs.destinations.base import DestinationSection
from specs.secret import Password
from specs.values import refusal

if TYPE_CHECKING:
    from vault.store.base import Store


def check_endpoint(text: str | None) -> str | None:
    """Accept a URL, or nothing for AWS.

    Raises:
        PydanticCustomError: It lacks http or https, or a host.
    """
    if text and not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise refusal("not a URL", "write for example https://s3.us-west-001.backblazeb2.com")
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


def check_key(text: str) -> str:
    """Accept a path inside a bucket.

    Raises:
        PydanticCustomError: It has an empty, `.` or `..` part, which S3 would take literally.
    """
    if any(part in ("", ".", "..") for part in text.strip("/").split("/")) and text.strip("/"):
        raise refusal("not a folder in a bucket", "write for example backups/packrat")
    return text


class S3(DestinationSection):
    """A bucket at AWS, Backblaze B2, MinIO or another S3 service."""

    distance: ClassVar[int] = 3
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

    @property
    def where(self) -> str:
        """The bucket, the folder in it, and the server."""
        server = self.endpoint or f"AWS {self.region or ''}".strip()
        return f"s3 bucket {self.bucket}, folder {self.path or '/'}, at {server}"

    def store(self, name: str, accepted_hosts: str) -> "Store":  # noqa: ARG002
        """Return the store in the bucket."""
        from vault.store import s3
        from vault.store.retrying import Retrying

        return Retrying(
            s3.S3(
                name,
                self.bucket,
                self.path,
                access_key_id=self.access_key_id.resolve(),
                secret_access_key=self.secret_access_key.resolve(),
                endpoint=self.endpoint,
                region=self.region,
            )
        )
