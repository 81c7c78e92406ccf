"""Destination at a URL of fsspec."""

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from specs.destinations.base import DestinationSection
from specs.options import Options, resolve_options
from specs.values import refusal

if TYPE_CHECKING:
    from vault.store.base import Store


def check_url(text: str) -> str:
    """Accept a URL of fsspec, without a password.

    Raises:
        PydanticCustomError: It has no protocol, or a password.
    """
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S*", text) or text.startswith("file:"):
        raise refusal("not a URL of a filesystem", "write for example webdav://backups/packrat")
    if "@" in text and ":" in text.partition("://")[2].rpartition("@")[0]:
        raise refusal("a URL with a password", "put the password into options:, by reference")
    return text


class Fsspec(DestinationSection):
    """A folder in any filesystem of fsspec, such as WebDAV, SMB, Google Cloud Storage or Azure."""

    distance: ClassVar[int] = 2
    type: Literal["fsspec"] = "fsspec"
    """`fsspec`."""
    url: Annotated[str, AfterValidator(check_url)] = Field(examples=["webdav://backups/packrat"])
    """Protocol and folder, in fsspec's form."""
    options: Options = Field(default_factory=dict)
    """Further options of the filesystem; secrets by reference."""

    @property
    def where(self) -> str:
        """The URL."""
        return self.url

    def store(self, name: str, accepted_hosts: str) -> "Store":  # noqa: ARG002
        """Return the store at the URL."""
        from vault.store.retrying import Retrying
        from vault.store.url import UrlStore

        return Retrying(UrlStore(name, self.url, resolve_options(self.options)))
