"""Containers by Compose project, and the volumes and folders that they write to."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from stages.service.inventory import ContainerEntry, Inventory

CACHE = {"cache", "caches", "tmp", "temp", "transcode", "transcodes", "transcoding", "thumbnails"}
MEDIA = {"movies", "movie", "films", "tv", "shows", "series", "music", "downloads",
         "download", "torrents", "torrent", "usenet", "podcasts", "audiobooks"}  # fmt: skip
"""Words for content that can be fetched again. Not `media`: paperless-ngx keeps documents there."""

Use = Literal["data", "cache", "media", "file"]


class Place(Struct, frozen=True):
    """Volume, or folder of this machine, that containers write to."""

    volume: str
    """Name of the volume; empty for a folder."""
    folder: str
    """The folder on this machine."""
    writers: tuple[tuple[str, str], ...]
    """(name of the container, folder in it)."""
    anonymous: bool = False
    remote: bool = False
    """The volume's driver mounts it from elsewhere, for example from an NFS server."""

    @property
    def name(self) -> str:
        """The volume or folder, for people."""
        if self.anonymous:
            container, inside = self.writers[0]
            return f"anonymous volume of {container} at {inside}"
        return f"volume {self.volume}" if self.volume else self.folder

    @property
    def use(self) -> Use:
        """Kind of its content, guessed from the names."""
        if not self.volume and os.path.isfile(self.folder):
            return "file"
        tops = [self.volume or os.path.basename(self.folder)]
        tops += [os.path.basename(inside) for _, inside in self.writers]
        words = {word for top in tops for word in re.split(r"[^a-z]+", top.lower())}
        above = {part.lstrip(".") for _, inside in self.writers for part in inside.split("/")}
        return "cache" if (words | above) & CACHE else "media" if words & MEDIA else "data"


class Group(Struct, frozen=True):
    """Containers that are backed up together: a Compose project, or a single container."""

    name: str
    compose: bool
    containers: tuple[ContainerEntry, ...]
    places: tuple[Place, ...]


def groups_of(inventory: Inventory) -> list[Group]:
    """Return all groups by name. Containers that are removed when they end are in none."""
    places = _places(inventory)
    by_group: dict[tuple[str, bool], list[ContainerEntry]] = defaultdict(list)
    for one in inventory.containers:
        if not (one.vanishes or one.one_off):
            by_group[one.project or one.name, bool(one.project)].append(one)
    return [
        Group(
            name,
            compose,
            tuple(containers),
            tuple(
                place
                for place in places
                if {writer for writer, _ in place.writers} & {one.name for one in containers}
            ),
        )
        for (name, compose), containers in sorted(by_group.items())
    ]


def _places(inventory: Inventory) -> list[Place]:
    """Return everything that containers write to, each once."""
    writers: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for one in inventory.containers:
        for mount in one.mounts:
            if mount.may_hold_data() and not (one.vanishes or one.one_off):
                writers[mount.name, mount.source].append((one.name, mount.destination))
    found = []
    for (name, folder), users in sorted(writers.items()):
        volume = inventory.volume(name) if name else None
        found.append(
            Place(
                name,
                folder,
                tuple(users),
                anonymous=bool(volume and volume.anonymous),
                remote=bool(volume and volume.on_demand),
            )
        )
    return found
