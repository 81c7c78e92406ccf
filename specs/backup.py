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
"""All types; a new one is a file in specs/destinations/ and a member here (CONTRIBUTING.md)."""
TYPES = tuple(one.model_fields["type"].default for one in get_args(Destination))
"""Their names, as `type` has them."""
KEEP_REPLACED = 7 * 86_400
Typed = Annotated[Destination, Field(discriminator="type")]


class Backup(Section):
    """The destinations, and defaults for every service."""

    retain_backups: int = Field(7, ge=1)
    """Number of backups of a service that each destination keeps."""
    retain: Retain | None = None
    """Or the rules by which they are kept, by count, calendar and age."""
    keep_replaced: Duration = KEEP_REPLACED
    """Least time, in seconds, for which what an in-place restore replaced is kept; the next good
    backup after that deletes it."""
    confirm: Literal["samples", "full"] = "samples"
    """Part of a new archive that is read back before it counts: both ends and samples, or all."""
    local: Local | None = None
    """The destination named `local`: a folder of this machine."""
    synology: Sftp | None = None
    """The destination named `synology`: SFTP."""
    s3: S3 | None = None
    """The destination named `s3`."""
    destinations: dict[Name, Typed] = Field(default_factory=dict)
    """Further destinations by name, each with its `type`."""
