"""Record of the projects and containers without a backup that were notified."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import MsgspecError

from specs.faults import printable
from stages.state_file import read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Collection

    from specs.discovery.coverage import Covered

FILE = "unprotected.json"
MOST = 1000
"""Names in that file."""


def newly_unprotected(state_dir: str, groups: Collection[Covered]) -> list[Covered]:
    """Return the groups that lack a backup and were not returned before; raises OSError.

    One that has a backup now is returned again when it loses it. One that is removed is remembered,
    because an update removes and creates the containers of a project.
    """
    file = os.path.join(state_dir, FILE)
    known: set[str] = set()
    with suppress(MsgspecError):
        known = set(read_state(file, list[str]) or ())
    missing = {one.group.name: one for one in groups if one.unprotected}
    recorded = known - {one.group.name for one in groups} | missing.keys()
    if recorded != known:
        write_state(file, sorted(recorded, key=lambda name: name not in missing)[:MOST])
    return [missing[name] for name in sorted(missing.keys() - known)]


def unprotected_text(one: Covered) -> str:
    """Return a group, and what of it lacks a backup."""
    places = [part.place.name for part in one.places if part.unprotected]
    return printable(f"{one.group.name}: {', '.join(places)}")
