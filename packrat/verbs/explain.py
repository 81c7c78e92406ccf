"""`packrat explain`: whether a path is backed up, and which pattern decides it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from packrat.restore.request import in_roots
from packrat.text.report import print_json, say
from specs.compile import reads_of
from specs.faults import printable
from stages.in_place.folder import own_folders
from stages.source.exclude import Excludes
from stages.source.walk import folders

if TYPE_CHECKING:
    from packrat.program import Program
    from stages.source.roots import ReadRoot, Roots


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
    config = program.config
    roots = reads_of(config, config.services[service]).resolve()
    named = in_roots(path, {root.label: root.folder for root in roots.roots})
    root = next((one for one in roots.roots if _is_in(named, one)), None)
    if named is None or root is None:
        return Explained(path, False, f"is not below {', '.join(roots.folders)}")
    inner = named[len(root.label) :].lstrip("/") or "."
    whole = os.path.join(root.folder, inner) if inner != "." else root.folder
    if os.path.isdir(whole) and not os.path.islink(whole) and inner != ".":
        inner += "/"
    shown = inner if inner != "." or not root.label else ""
    shown = root.path(shown)
    if own := _own_above(config.state_dir, roots, root, whole):
        return Explained(shown, False, f"{own} is packrat's own")
    excludes = Excludes(roots.exclude)
    said = excludes.why(inner)
    if said is None:
        there = "" if os.path.lexists(whole) else ", but it is not there now"
        return Explained(shown, True, f"no pattern matches it{there}")
    part, pattern = said
    above = "" if part == inner else f"{root.path(part)}, above it, "
    where = f"services.{service}.exclude[{roots.exclude.index(pattern)}]"
    reason = f"{above}matches {pattern!r} ({where})"
    return Explained(shown, not excludes.excludes(part), reason, pattern)


def _is_in(named: str | None, root: ReadRoot) -> bool:
    """Return whether a path in the archive is in a root."""
    return named is not None and f"{named}/".startswith(root.label and f"{root.label}/")


def _own_above(state_dir: str, roots: Roots, root: ReadRoot, path: str) -> str | None:
    """Return the folder of packrat's own that is or contains a path, or None."""
    own = own_folders(state_dir, root.folder, roots.never)
    while path not in ("/", root.folder, ""):
        if not own.isdisjoint(folders([path])):
            return path
        path = os.path.dirname(path)
    return None
