"""Destination in a local folder."""

import os
from typing import TYPE_CHECKING, ClassVar, Literal

from specs.destinations.base import DestinationSection
from specs.values import LocalPath

if TYPE_CHECKING:
    from vault.store.base import Store


class Local(DestinationSection):
    """A folder of this machine: another disk, or a share that is mounted."""

    distance: ClassVar[int] = 0
    type: Literal["local"] = "local"
    """`local`; may be left out in `backup.local`."""
    path: LocalPath
    """The folder; a relative path starts at the configuration's folder."""

    @property
    def where(self) -> str:
        """The folder."""
        return self.path

    @property
    def root(self) -> str:
        """The folder, as the store has it."""
        return os.path.abspath(self.path)

    def store(self, name: str, accepted_hosts: str) -> "Store":  # noqa: ARG002
        """Return the store in the folder."""
        from vault.store import local

        return local.Local(name, self.path)
