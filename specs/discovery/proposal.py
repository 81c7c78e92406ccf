"""Services that would back up what no service does, as the configuration is to name them."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from specs.checks import JOBS
from specs.discovery.engines import engine_of, is_data_folder
from stages.service.compose import stop_order
from stages.service.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from specs.config import Config
    from specs.discovery.coverage import Covered, CoveredPlace
    from specs.discovery.groups import Group, Place

USUAL_SCHEDULE = "0 2 * * *"
LONGEST_NAME = 64
_REASONS = {"cache": "a cache", "media": "can be fetched again"}


class Proposal(Struct, frozen=True):
    """Service that backs up a group."""

    name: str
    """The service's name: that of the group, with other characters where it is not valid."""
    group: str
    settings: dict[str, Any]
    """The keys of the service."""
    left_out: tuple[str, ...]
    """Places that it does not contain, with the reason."""


def propose(groups: Iterable[Covered], schedule: str | None) -> list[Proposal]:
    """Return a service for each group that has data without a backup; Compose projects come first.

    What a service has already, or another proposal, is not in a second one.
    """
    taken: dict[Place, str] = {}
    found = []
    for one in sorted(groups, key=lambda one: not one.group.compose):
        left = {part.place: why for part in one.places if (why := _why_left(part, taken))}
        wanted = [part for part in one.places if part.place not in left]
        if any(part.unprotected for part in wanted):
            proposal = _proposal(one.group, schedule, left)
            found.append(proposal)
            taken |= {part.place: proposal.name for part in wanted}
    return found


def _why_left(part: CoveredPlace, taken: Mapping[Place, str]) -> str:
    """Return why a place is not part of a proposal; empty for one that is."""
    if service := part.service or taken.get(part.place):
        return f"in service {service}"
    return "ignored" if part.ignored else _REASONS.get(part.place.use, "")


def _proposal(group: Group, schedule: str | None, left: Mapping[Place, str]) -> Proposal:
    """Return the service for a group.

    A Compose project is named as a whole, unless something of it is left out: then everything else
    is listed.
    """
    settings: dict[str, Any] = {"schedule": schedule} if schedule else {}
    if group.compose and not left:
        settings["compose"] = group.name
    else:
        settings |= _listed(group, [place for place in group.places if place not in left])
    if databases := _databases(group, left):
        settings["databases"] = databases
    reasons = tuple(f"{place.name}: {why}" for place, why in left.items())
    return Proposal(service_name(group.name), group.name, settings, reasons)


def service_name(group: str) -> str:
    """Return the name of a group as a valid name of a service."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", group).lstrip("._-")[:LONGEST_NAME] or "unnamed"
    return f"{name}-containers" if name in JOBS else name


def collisions(proposals: Iterable[Proposal], taken: Mapping[str, Any]) -> dict[str, str]:
    """Return group -> sentence, for each proposal whose name is used already."""
    proposals = list(proposals)
    names = Counter(one.name for one in proposals)
    found = {}
    for one in proposals:
        if one.name in taken:
            found[one.group] = (
                f"the configuration has a service {one.name!r} that does not back up everything of"
                f" {one.group}; add what is missing to it, or rename it"
            )
        elif names[one.name] > 1:
            found[one.group] = (
                f"several Compose projects and containers would be named {one.name!r};"
                " write services for them by hand"
            )
    return found


def usual_schedule(config: Config | None) -> str:
    """Return the schedule that most services have."""
    schedules = Counter(one.schedule for one in config.services.values()) if config else Counter()
    del schedules[None]
    return next((text for text, _ in schedules.most_common(1) if text), USUAL_SCHEDULE)


def _databases(group: Group, left: Container[Place]) -> list[dict[str, dict[str, str]]]:
    """Return the databases to dump. One without a volume or folder of its own holds nothing."""
    return [
        {engine.key: {"container": one.name}}
        for one in group.containers
        if (engine := engine_of(one))
        and engine.key
        and any(
            name == one.name and is_data_folder(engine, inside)
            for place in group.places
            if place not in left and not place.anonymous
            for name, inside in place.writers
        )
    ]


def _listed(group: Group, places: list[Place]) -> dict[str, Any]:
    """Return volumes, folders and the containers to stop, each by name.

    A database that is dumped is not stopped, and its files are not named.
    """
    left = [place for place in group.places if place not in places]
    dumped = {one["container"] for entry in _databases(group, left) for one in entry.values()}
    files = [one for one in places if not _is_dumped(group, one, dumped)]
    writers = {name for place in files for name, _ in place.writers}
    stopped = [name for name in _in_stop_order(group) if name in writers - dumped]
    settings: dict[str, Any] = {}
    if volumes := [place.volume for place in files if place.volume]:
        settings["volumes"] = volumes
    if folders := [place.folder for place in files if not place.volume and place.use != "file"]:
        settings["paths"] = _outermost(folders)
    if stopped:
        one = {"container": stopped[0]} if len(stopped) == 1 else {"containers": stopped}
        settings["docker"] = one
    return settings


def _is_dumped(group: Group, place: Place, dumped: Container[str]) -> bool:
    """Return whether a place holds nothing but the files of databases that are dumped."""
    engines = {one.name: engine_of(one) for one in group.containers}
    return all(
        name in dumped and (engine := engines[name]) and is_data_folder(engine, inside)
        for name, inside in place.writers
    )


def _in_stop_order(group: Group) -> list[str]:
    if not group.compose:
        return [one.name for one in group.containers]
    return stop_order(Inventory(group.containers, ()), group.name)


def _outermost(folders: list[str]) -> list[str]:
    """Return the folders without those that are, or are inside, another one."""
    first: dict[str, str] = {}
    for folder in folders:
        first.setdefault(os.path.realpath(folder), folder)
    return [
        folder
        for real, folder in first.items()
        if not any(PurePath(real).is_relative_to(other) for other in first if other != real)
    ]
