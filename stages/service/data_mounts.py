"""Volumes and folders that containers keep data in, distinguished from those of the system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.service.inventory import Mount

SYSTEM = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/lib/modules")
"""Folders of the machine, with everything in them, that are not data of a container."""
WHOLE = ("/", "/tmp", "/etc", "/home", "/usr", "/var", "/var/lib", "/var/lib/docker",  # noqa: S108
         "/var/lib/docker/volumes", "/var/lib/containerd", "/etc/localtime", "/etc/timezone",
         "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/machine-id")  # fmt: skip
"""Paths that tools mount to look at the machine; a folder inside one may be data."""


def may_hold_data(mount: Mount) -> bool:
    """Return whether a container may keep data in a mount."""
    if not mount.writable or mount.type not in ("volume", "bind"):
        return False
    if mount.type == "volume":
        return True
    source = os.path.normpath(mount.source)
    system = any(f"{source}/".startswith(f"{folder}/") for folder in SYSTEM)
    special = os.path.exists(source) and not (os.path.isdir(source) or os.path.isfile(source))
    return not (system or special or source in WHOLE)
