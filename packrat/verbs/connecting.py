"""Tests of destinations and containers for `packrat check`.

A destination is tested by a login and by writing, reading, renaming and deleting a file. Each
container must exist, and a service must cover each folder that it writes to.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from packrat.text.report import bytes_text, count_text
from specs.faults import printable
from vault.errors import UnknownHost, VaultError

ASKING_SECONDS = 5
"""Time that `check` waits for a Docker engine."""

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.store.base import Store


def try_destinations(program: Program, *, accept_empty: bool) -> list[dict[str, Any]]:
    """Test each destination; return {destination, free, problem, limits} for each.

    `limits` are sentences about what its filesystem cannot do. A destination that had backups and
    now lists none is a problem unless the user accepts it.
    """
    return [
        {"destination": name} | _try(program, store, accept_empty=accept_empty)
        for name, store in program.destinations().items()
    ]


def look_at_containers(program: Program) -> tuple[list[str], list[str]]:
    """Return (notes, problems): folders that no service covers, engines that do not answer."""
    from stages.errors import SourceError
    from stages.service.docker import Engine, EngineAway

    services = program.config.services
    paths = [os.path.realpath(service.path) for service in services.values()]
    notes: list[str] = []
    problems: dict[str | None, str] = {}
    for name, service in services.items():
        if not service.docker or service.docker.host in problems:
            continue
        engine = Engine(service.docker.host, ASKING_SECONDS)
        for container in service.docker.names:
            try:
                mounts = engine.look(container).mounts
            except EngineAway as error:
                problems[service.docker.host] = f"{error}; {error.hint}"
                break
            except SourceError as error:
                notes.append(f"services.{name}.docker: {error}")
                continue
            notes += [
                f"container {container} writes to {folder}, which no service covers"
                for folder, writes in mounts
                if writes and os.path.isdir(folder) and not _covered(folder, paths)
            ]
    return notes, list(problems.values())


def _covered(folder: str, paths: list[str]) -> bool:
    folder = os.path.realpath(folder)
    return any(os.path.commonpath([folder, path]) == path for path in paths)


def _try(program: Program, store: Store, *, accept_empty: bool) -> dict[str, Any]:
    """Return a destination's free space and limits, or its problem with advice."""
    try:
        # First, because the test creates the folder, and an empty mount point must stay empty.
        if count := program.cache.emptied(store):
            held = f"held {count_text(count, 'backup')} and lists none"
            if not accept_empty and not _empty_on_purpose(store, held):
                return _problem(
                    f"{held}; is its disk mounted? If they were deleted on purpose:"
                    " packrat check --connect --accept-empty"
                )
        limits = store.probe(os.urandom(8).hex())
        free = store.free()
        if count:
            program.cache.forget(store)
    except UnknownHost as error:
        if _accepted(program, store, error):
            return _try(program, program.reopened(store.name), accept_empty=accept_empty)
        return _problem(f"{error}; {error.hint}")
    except VaultError as error:
        return _problem(f"{error}; {error.hint}" if error.hint else str(error))
    free_text = "unknown" if free is None else bytes_text(free)
    return {"free": free_text, "problem": None, "limits": limits}


def _problem(text: str) -> dict[str, Any]:
    return {"free": None, "problem": text, "limits": []}


def _empty_on_purpose(destination: Store, held: str) -> bool:
    """Ask on a terminal whether the missing backups were deleted on purpose."""
    if not sys.stdin.isatty():
        return False
    import typer

    question = f"{destination.name} ({printable(destination.root)}) {held}: accept that?"
    return typer.confirm(question, err=True)


def _accepted(program: Program, destination: Store, error: UnknownHost) -> bool:
    """Ask on a terminal whether to trust a host key; store it beside the key file."""
    if not (sys.stdin.isatty() and error.line):
        return False
    import typer

    print(
        f"The server of {destination.name} shows a host key that nobody accepted yet:\n"
        f"  {printable(error.fingerprint)}\n"
        "Compare it with what the server itself says, on a Synology for instance over SSH with:\n"
        "  for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done",
        file=sys.stderr,
    )
    if not typer.confirm("Is it the same?", err=True):
        return False
    folder = os.path.dirname(program.config.encryption.key_file)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, "known_hosts"), "a", encoding="utf-8") as file:
        file.write(error.line + "\n")
    return True
