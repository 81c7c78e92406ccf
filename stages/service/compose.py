"""Compose projects: their containers in the order of their dependencies, and their data."""

from __future__ import annotations

import os
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from msgspec import Struct

from stages.errors import SourceError
from stages.service.inventory import COMPOSE
from stages.service.mounts import Mount

if TYPE_CHECKING:
    from stages.service.inventory import ContainerEntry, Inventory

WORKING_DIR = f"{COMPOSE}project.working_dir"
"""Label with the folder of the Compose file."""


class DataMount(Struct, frozen=True):
    """Volume or folder that a project writes to."""

    volume: str
    """Name of the volume; empty for a folder."""
    folder: str
    label: str
    """Its label in an archive, unless another root has the same one."""


def stop_order(inventory: Inventory, project: str) -> list[str]:
    """Return the names of a project's containers, those that need others first.

    Containers of `docker compose run` and those that a stop would delete are not among them. Raises
    SourceError without any.
    """
    found = {one.name: one for one in _members(inventory, project)}
    needs = {
        name: sorted(
            other.name
            for other in found.values()
            if other.name != name
            and (other.service in one.depends_on or one.network in (other.id, other.name))
        )
        for name, one in sorted(found.items())
    }
    try:
        order = [*TopologicalSorter(needs).static_order()]
    except CycleError:
        order = sorted(found)
    return order[::-1]


def data_of(inventory: Inventory, project: str) -> list[DataMount]:
    """Return what the containers of a project write to, each once; raises SourceError."""
    found: dict[str, DataMount] = {}
    for one in _members(inventory, project):
        for mount in filter(Mount.may_hold_data, one.mounts):
            volume = inventory.volume(mount.name) if mount.type == "volume" else None
            if volume is None:
                label = _folder_label(mount.source, one.labels.get(WORKING_DIR, ""))
            else:
                label = _anonymous_label(one, mount) if volume.anonymous else volume.name
            found.setdefault(mount.name or mount.source, DataMount(mount.name, mount.source, label))
    return list(found.values())


def _members(inventory: Inventory, project: str) -> list[ContainerEntry]:
    found = [one for one in inventory.project(project) if not (one.one_off or one.vanishes)]
    if not found:
        known = sorted({one.project for one in inventory.containers if one.project})
        there = f"there are: {', '.join(known)}" if known else "the engine has none"
        raise SourceError(
            f"there is no Compose project {project} with containers",
            f"{there}; docker compose up -d, or up --no-start, creates its containers",
        )
    return found


def _anonymous_label(container: ContainerEntry, mount: Mount) -> str:
    """Return a label that stays the same when the container is created again."""
    return f"{container.name}-{mount.destination.strip('/').replace('/', '-')}"


def _folder_label(folder: str, working_dir: str) -> str:
    """Return the path from the project's folder, or the whole path, with `-` between names."""
    inside = os.path.relpath(folder, working_dir) if working_dir else ".."
    if inside == ".":
        return os.path.basename(folder.rstrip("/")) or "root"
    path = folder if inside.split("/")[0] == ".." else inside
    return path.strip("/").replace("/", "-")
