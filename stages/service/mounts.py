"""Volumes and folders of the host in containers."""

from __future__ import annotations

import os
from typing import Any

from msgspec import Struct

SYSTEM = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/lib/modules")
"""Folders of the machine, with everything in them, that are not data of a container."""
WHOLE = ("/", "/tmp", "/etc", "/home", "/usr", "/var", "/var/lib", "/var/lib/docker",  # noqa: S108
         "/var/lib/docker/volumes", "/var/lib/containerd", "/etc/localtime", "/etc/timezone",
         "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/machine-id")  # fmt: skip
"""Paths that tools mount to look at the machine; a folder inside one may be data."""


class Mount(Struct, frozen=True):
    """Volume or folder of the host in a container."""

    type: str
    """`volume`, `bind`, `tmpfs` and others."""
    name: str
    """Name of the volume; empty for another type."""
    source: str
    """The folder on the host; empty where there is none."""
    destination: str
    """The folder in the container."""
    writable: bool

    def may_hold_data(self) -> bool:
        """Return whether a container may keep data in it."""
        if not self.writable or self.type not in ("volume", "bind"):
            return False
        if self.type == "volume":
            return True
        source = os.path.normpath(self.source)
        system = any(f"{source}/".startswith(f"{folder}/") for folder in SYSTEM)
        special = os.path.exists(source) and not (os.path.isdir(source) or os.path.isfile(source))
        return not (system or special or source in WHOLE)


def mounts_of(found: dict[str, Any]) -> tuple[Mount, ...]:
    """Return the mounts of a container, which the engine describes as `found`."""
    mounts = (
        Mount(
            type=str(one.get("Type") or ""),
            name=str(one.get("Name") or ""),
            source=str(one.get("Source") or ""),
            destination=str(one.get("Destination") or ""),
            writable=bool(one.get("RW")),
        )
        for one in found.get("Mounts") or []
    )
    return tuple(sorted(mounts, key=lambda mount: mount.destination))
