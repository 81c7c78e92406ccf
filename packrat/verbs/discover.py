"""`packrat discover`: containers that keep data, and whether a service backs it up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from typer import confirm

from packrat.errors import Exit, UsageError
from packrat.text.discovered import discovered_document, print_discovered
from packrat.text.report import print_json, say, warn
from specs.discovery.coverage import Covered, coverage
from specs.discovery.proposal import Proposal, collisions, propose, usual_schedule
from specs.faults import ConfigFaults, printable
from specs.insert_services import NewService
from specs.load import load_config
from specs.rewrite import Rewrite, add_services
from stages.service.docker import DockerEngine
from stages.service.folder_sizes import measure_folders
from stages.service.inventory import read_inventory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packrat.program import Program
    from specs.config import Config

ASKING_SECONDS = 20
"""Time that `discover` waits for an answer of the Docker engine."""
MEASURING_SECONDS = 1.0
"""Time for all sizes together."""


def discover(
    program: Program, names: Sequence[str], *, write: bool, yes: bool, as_json: bool
) -> int:
    """Print what containers write and which service has it; with `write`, add what is missing.

    `names` are the only projects and containers to add. Return the exit status.
    """
    if write and not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError("discover --write asks for confirmation; without a terminal, pass --yes")
    if names and not write:
        raise UsageError("names go with --write: packrat discover --write NAME")
    config = _config(program, required=write)
    inventory = read_inventory(DockerEngine(None, ASKING_SECONDS))
    found = coverage(config, inventory)
    sizes = measure_folders(_to_measure(found), MEASURING_SECONDS)
    added: list[Proposal] = []
    if not as_json:
        print_discovered(found, sizes, program.file if config else None)
    if write and (rewrite := _change(program, config, found, names)):
        change, added = rewrite
        if not as_json:
            print("\n".join(map(printable, change.diff())))
        if not (yes or confirm(f"Write this to {program.file}?", err=True)):
            say("nothing was written")
            return Exit.PARTIAL
        change.write()
        found = coverage(load_config(program.file), inventory)
    if as_json:
        print_json(discovered_document(found, sizes) | {"added": [one.name for one in added]})
    elif added:
        services = ", ".join(one.name for one in added)
        say(f"added to {program.file}: {services}. packrat backup {added[0].name} tries it")
    return Exit.PARTIAL if any(one.unprotected for one in found) else Exit.DONE


def _config(program: Program, *, required: bool) -> Config | None:
    """Return the configuration; None if there is none yet and none is required."""
    if not required:
        try:
            program.file  # noqa: B018 (it looks for the file)
        except ConfigFaults:
            return None
    return program.config


def _change(
    program: Program, config: Config | None, found: Iterable[Covered], names: Sequence[str]
) -> tuple[Rewrite, list[Proposal]] | None:
    """Return the change of the configuration, None if there is nothing to add."""
    missing = [one for one in found if one.unprotected]
    groups = {one.group.name for one in missing}
    for name in names:
        if name not in groups:
            there = (
                f"; these do: {', '.join(sorted(groups))}" if groups else ", and nothing else does"
            )
            raise UsageError(f"nothing named {name!r} lacks a backup{there}")
    chosen = [one for one in missing if not names or one.group.name in names]
    proposals = propose(chosen, usual_schedule(config))
    refused = collisions(proposals, config.services if config else {})
    for sentence in refused.values():
        warn(sentence)
    proposals = [one for one in proposals if one.group not in refused]
    if not proposals:
        return None
    services = [
        NewService(one.name, one.settings, tuple(f"left out: {text}" for text in one.left_out))
        for one in proposals
    ]
    return add_services(program.file, services), proposals


def _to_measure(found: Iterable[Covered]) -> list[str]:
    """Return the folders that no service has; one on a server may not answer."""
    return [
        part.place.folder
        for one in found
        for part in one.places
        if not (part.service or part.place.remote) and part.place.folder
    ]
