"""Volumes of containers: the folder on this machine, if their content is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stages.errors import SourceError
from stages.source.mounts import mounts

if TYPE_CHECKING:
    from stages.service.inventory import Inventory, VolumeEntry


def volume_folder(inventory: Inventory, name: str) -> tuple[str, bool]:
    """Return the folder of a volume, and whether Docker mounts it only while it is used.

    Raises SourceError if there is no such volume, or if its content is not mounted now: its folder
    would look like an empty volume.
    """
    volume = inventory.volume(name)
    if volume is None:
        raise SourceError(f"there is no volume {name}", "docker volume ls lists the volumes")
    if volume.on_demand and os.path.realpath(volume.mountpoint) not in _mount_points():
        raise SourceError(
            f"volume {name} ({_mounted_text(volume)}) is not mounted on this machine",
            "Docker mounts it while a container that uses it runs: start one, or give its path:"
            " where it is always mounted",
        )
    if not volume.mountpoint:
        raise SourceError(
            f"volume {name} of driver {volume.driver} has no folder on this machine",
            "back it up where its driver keeps it",
        )
    return volume.mountpoint, volume.on_demand


def _mount_points() -> set[str]:
    try:
        return {mount.point for mount in mounts()}
    except OSError:
        return set()


def _mounted_text(volume: VolumeEntry) -> str:
    """Return what a volume is mounted from; not its other options, which may have a password."""
    kind = volume.options.get("type") or volume.driver
    kind = "a mount" if kind == "none" else kind  # a bind has no type of its own
    device = volume.options.get("device", "")
    return f"{kind} of {device}" if device else kind
