"""`packrat explain`: whether a path is backed up, and which pattern decides it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from packrat.restore.request import inside
from packrat.text.report import print_json, say
from specs.compile import compile_service
from specs.faults import printable
from stages.in_place.folder import own_folders
from stages.source.exclude import Excludes
from stages.source.walk import folders

if TYPE_CHECKING:
    from packrat.program import Program


class Explained(Struct, frozen=True):
    """Decision about a path, and its reason; its fields are keys of `--json`."""

    path: str
    backed_up: bool
    reason: str
    pattern: str | None = None


def explain_path(program: Program, service: str, path: str, *, as_json: bool) -> None:
    """Print whether a path is backed up, and which pattern decides it."""
    [service] = program.services([service])
    found = _explained(program, service, path)
    if as_json:
        print_json({"service": service} | asdict(found))
        return
    joined = " " if found.reason.startswith("is not below") else ": "
    say(printable(f"{'in' if found.backed_up else 'out'}: {found.path}{joined}{found.reason}"))


def _explained(program: Program, service: str, path: str) -> Explained:
    settings = program.config.services[service]
    named = inside(path, settings.path)
    if named is None:
        return Explained(path, False, f"is not below {settings.path}")
    inner = named or "."
    whole = os.path.join(settings.path, named)
    if os.path.isdir(whole) and not os.path.islink(whole) and named:
        inner += "/"
    if own := _own_above(program, service, whole):
        return Explained(inner, False, f"{own} is packrat's own")
    excludes = Excludes(settings.exclude)
    said = excludes.why(inner)
    if said is None:
        there = "" if os.path.lexists(whole) else ", but it is not there now"
        return Explained(inner, True, f"no pattern matches it{there}")
    part, pattern = said
    above = "" if part == inner else f"{part}, above it, "
    where = f"services.{service}.exclude[{settings.exclude.index(pattern)}]"
    reason = f"{above}matches {pattern!r} ({where})"
    return Explained(inner, not excludes.excludes(part), reason, pattern)


def _own_above(program: Program, service: str, path: str) -> str | None:
    """Return the folder of packrat's own that is or contains a path, or None."""
    collect = compile_service(program.config, service).stages["collect"]
    own = folders(collect.get("never", ()))
    own |= own_folders(program.config.state_dir, collect["path"])
    while path not in ("/", collect["path"], ""):
        if not own.isdisjoint(folders([path])):
            return path
        path = os.path.dirname(path)
    return None
