"""The `backup:` section, which names the destinations."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from specs.destinations.local import Local
from specs.destinations.s3 import S3
from specs.destinations.sftp import Sftp
from specs.destinations.url import Fsspec
from specs.retain import Retain
from specs.section import Section
from specs.values import Duration, Name

Destination = Local | S3 | Sftp | Fsspec
"""Every type of destination; a new one is a file in specs/destinations/ and a member here."""
TYPES = tuple(one.model_fields["type"].default for one in get_args(Destination))
"""Values that `type` accepts."""
KEEP_REPLACED = 7 * 86_400
"""7 days, in seconds."""
TypedDestination = Annotated[Destination, Field(discriminator="type")]
"""Destination that states its `type`."""


class Backup(Section):
    """The destinations, and defaults for every service."""

    retain_backups: int = Field(7, ge=1)
    """Number of backups of a service that each destination keeps."""
    retain: Retain | None = None
    """Rules for what is kept, by count, calendar and age, instead of `retain_backups`."""
    keep_replaced: Duration = KEEP_REPLACED
    """Time for which the files that an in-place restore replaced are kept, at least; the next good
    backup after that deletes them."""
    confirm: Literal["samples", "full"] = "samples"
    """Part of a new archive that is read back before it is listed: ends and samples, or all."""
    local: Local | None = None
    """The destination named `local`: a folder of this machine."""
    synology: Sftp | None = None
    """The destination named `synology`: any SFTP server."""
    s3: S3 | None = None
    """The destination named `s3`: S3, or a service that is compatible with it."""
    destinations: dict[Name, TypedDestination] = Field(default_factory=dict)
    """Further destinations by name, each with its `type`."""
