"""Services of a configuration that back up what containers write."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from specs.discovery.engines import engine_of, is_data_folder
from specs.discovery.groups import groups_of
from stages.source.exclude import Excludes

if TYPE_CHECKING:
    from collections.abc import Collection

    from specs.config import Config
    from specs.discovery.groups import Group, Place
    from specs.service import Service
    from stages.service.inventory import ContainerEntry, Inventory

State = Literal["unprotected", "partial", "protected", "optional", "ignored", "empty"]
"""`optional`: only caches and media are not backed up. `empty`: it keeps nothing."""


class CoveredPlace(Struct, frozen=True):
    """Place, with the service that backs it up."""

    place: Place
    service: str
    """Empty without one."""
    ignored: bool
    """The configuration says that it needs no backup."""

    @property
    def unprotected(self) -> bool:
        """True for data that is not backed up."""
        return not (self.service or self.ignored) and self.place.use == "data"


class Covered(Struct, frozen=True):
    """Group, with the services that back up its places."""

    group: Group
    places: tuple[CoveredPlace, ...]
    ignored: bool
    """The configuration says that the group needs no backup."""

    @property
    def services(self) -> list[str]:
        """The services that back up something of it."""
        return sorted({one.service for one in self.places if one.service})

    @property
    def state(self) -> State:
        """Level of protection of the group."""
        if self.ignored:
            return "ignored"
        if any(one.unprotected for one in self.places):
            return "partial" if self.services else "unprotected"
        if self.services:
            return "protected"
        return "optional" if self.places else "empty"

    @property
    def unprotected(self) -> bool:
        """True if data of the group is not backed up."""
        return self.state in ("partial", "unprotected")


def coverage(config: Config | None, inventory: Inventory) -> list[Covered]:
    """Compare all groups of an inventory with a configuration; None covers nothing."""
    services = config.services if config else {}
    ignored = config.docker.ignore if config else ()
    containers = {one.name: one for one in inventory.containers}
    found = []
    for group in groups_of(inventory):
        places = tuple(
            CoveredPlace(
                place,
                next((name for name, one in services.items() if _has(one, place, containers)), ""),
                _is_ignored(place, ignored),
            )
            for place in group.places
        )
        found.append(Covered(group, places, group.name in ignored))
    return found


def _is_ignored(place: Place, ignored: Collection[str]) -> bool:
    folders = (name for name in ignored if name.startswith("/"))
    return (
        place.volume in ignored
        or all(name in ignored for name, _ in place.writers)
        or any(_inside(_real(place), one) for one in folders)
    )


def _has(service: Service, place: Place, containers: dict[str, ContainerEntry]) -> bool:
    """Return whether a service backs up a place."""
    if place.volume and place.volume in service.volumes:
        return True
    if any(_reads(folder, service, _real(place)) for folder in service.folders):
        return True
    dumped = {one.container for one in service.databases}
    for name, inside in place.writers:
        container = containers[name]
        if service.compose and container.project == service.compose:
            return True
        engine = engine_of(container)
        if engine and is_data_folder(engine, inside) and name in dumped:
            return True
    return False


def _real(place: Place) -> str:
    """Return the folder of a place without links; a volume's server may not answer."""
    known = place.folder and not place.remote
    return os.path.realpath(place.folder) if known else place.folder


def _reads(folder: str, service: Service, wanted: str) -> bool:
    """Return whether a service's folder contains another one, and does not exclude it."""
    if not _inside(wanted, folder):
        return False
    inside = os.path.relpath(wanted, os.path.realpath(folder))
    if inside == "." or not service.exclude:
        return True
    names = inside.split("/")
    excludes = Excludes(service.exclude)
    return not any(
        excludes.excludes("/".join(names[: depth + 1]) + "/") for depth in range(len(names))
    )


def _inside(folder: str, other: str) -> bool:
    return PurePath(folder).is_relative_to(os.path.realpath(other))
