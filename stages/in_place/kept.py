"""Packrat's own folders in a service's: what is staged, and what was set aside.

They are known by what they hold, never by their names alone: a user's folder of such a name is data
like any other. Each is made elsewhere and gets its name when it holds what makes it known.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from stages.errors import TargetError
from stages.in_place.swap import STEPS_FILE, Placement, from_plain, sync, to_plain
from stages.source.exclude import ASIDE, STAGING
from vault.archive.format import stamp

if TYPE_CHECKING:
    from stages.journal import Journal

MARK_FILE = ".packrat-staging"
ASIDE_NAME = re.compile(re.escape(ASIDE) + r"\d{8}T\d{6}Z", re.ASCII)
STAGING_NAME = re.compile(re.escape(STAGING) + "[0-9a-f]{8}")


def asides(path: str) -> list[str]:
    """Give the folders in which earlier restores set aside what was there, oldest first."""
    found = []
    for folder in _named(path, ASIDE_NAME):
        with suppress(TargetError):
            read_steps(folder)
            found.append(folder)
    return found


def own_folders(path: str) -> list[str]:
    """Give all folders in a service's that are packrat's: no backup has them."""
    staged = _named(path, STAGING_NAME)
    return asides(path) + [f for f in staged if os.path.isfile(os.path.join(f, MARK_FILE))]


def forget(path: str, journal: Journal) -> int:
    """Delete what earlier restores set aside or left staged; gives how many folders that were.

    Nothing goes while the journal holds anything: it may name the only copy of the user's data.
    """
    if journal.recall():
        return 0
    folders = own_folders(path)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def make_staging(folder: str) -> None:
    """Make the folder in which a restore in place is staged, or take it up; raises TargetError."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        mark = os.path.join(folder, MARK_FILE)
        if os.listdir(folder) and not os.path.isfile(mark):
            raise TargetError(
                f"{folder} is not packrat's, and in its way", "move it elsewhere, or give it a name"
            )
        os.close(os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise TargetError(
            f"cannot restore in place: {folder}: {error.strerror}", "restore to a folder with --to"
        ) from None


def name_aside(path: str, now: float) -> str:
    """Name the folder for what is there by seconds since 1970: the first free from `now` on."""
    while os.path.lexists(folder := os.path.join(path, ASIDE + stamp(now))):
        now += 1
    return folder


def make_aside(placement: Placement) -> None:
    """Make the folder that takes what is there, with the steps in it; raises OSError."""
    unnamed = os.path.join(placement.staging, "aside")
    shutil.rmtree(unnamed, ignore_errors=True)
    os.mkdir(unnamed, 0o700)
    with open(os.path.join(unnamed, STEPS_FILE), "x", encoding="ascii") as file:
        json.dump(to_plain(placement), file)  # not msgspec: names that are not UTF-8 are escaped
        file.flush()
        os.fsync(file.fileno())
    os.rename(unnamed, placement.aside)
    sync(placement.path)


def read_steps(aside: str) -> Placement:
    """Read what a restore has done, to undo it; raises TargetError."""
    try:
        with open(os.path.join(aside, STEPS_FILE), encoding="ascii") as file:
            placement = _plausible(from_plain(json.load(file)))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise TargetError(
            f"{aside} cannot be put back by itself: {error}",
            "what was there before is in it: move it by hand",
        ) from None
    # Where it stands now, whatever the service's folder was called then.
    placement.path, placement.aside = os.path.dirname(aside), aside
    placement.staging = os.path.join(placement.path, os.path.basename(placement.staging))
    return placement


def _plausible(placement: Placement) -> Placement:
    """Refuse steps that lead out of the folder: the service may have written them; ValueError."""
    names = (name for step in placement.steps for name in step.path.split("/"))
    inside = not any(step.path.startswith("/") for step in placement.steps) and ".." not in names
    if not inside or not STAGING_NAME.fullmatch(os.path.basename(placement.staging)):
        raise ValueError("its steps lead elsewhere")
    return placement


def _named(path: str, name: re.Pattern[str]) -> list[str]:
    with suppress(OSError):
        found = sorted(filter(name.fullmatch, os.listdir(path)))
        return [folder for n in found if _is_folder(folder := os.path.join(path, n))]
    return []


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
