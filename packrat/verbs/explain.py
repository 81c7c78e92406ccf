"""`packrat explain`: whether a path is backed up, and which pattern decides it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packrat.restore.request import inside
from specs.compile import compile_service
from specs.faults import printable
from stages.in_place.folder import own_folders
from stages.source.exclude import Excludes
from stages.source.walk import folders

if TYPE_CHECKING:
    from packrat.program import Program


def explain_path(program: Program, service: str, path: str) -> None:
    """Print whether a path is backed up, and which pattern decides it."""
    [service] = program.services([service])
    settings = program.config.services[service]
    named = inside(path, settings.path)
    if named is None:
        print(f"out: {printable(path)} is not below {printable(settings.path)}")
        return
    inner = named or "."
    whole = os.path.join(settings.path, named)
    if os.path.isdir(whole) and not os.path.islink(whole) and named:
        inner += "/"
    if own := _own_above(program, service, whole):
        print(f"out: {printable(inner)}: {printable(own)} is packrat's own")
        return
    excludes = Excludes(settings.exclude)
    said = excludes.why(inner)
    if said is None:
        there = "" if os.path.lexists(whole) else ", but it is not there now"
        print(f"in: {printable(inner)}: no pattern matches it{there}")
        return
    part, pattern = said
    verdict = "out" if excludes.excludes(part) else "in"
    above = "" if part == inner else f" {printable(part)}, above it,"
    where = f"services.{service}.exclude[{settings.exclude.index(pattern)}]"
    print(f"{verdict}: {printable(inner)}:{above} matches {pattern!r} ({where})")


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
