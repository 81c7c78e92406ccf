"""Try every destination: reach it, log in, write, read back, rename, delete; say how to mend it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from packrat.report import bytes_text
from specs.faults import printable
from vault.errors import UnknownHost, VaultError

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.destination import Destination


def try_destinations(program: Program) -> list[dict[str, str | None]]:
    """Try each destination and print how it went; gives {destination, free, problem} of each.

    A destination that works is accepted as it is, also when it held backups and now lists none.
    """
    tried = []
    for destination in program.destinations().values():
        free, problem = _try(program, destination)
        tried.append({"destination": destination.name, "free": free, "problem": problem})
        if problem is None:
            program.cache.forget(destination)
    return tried


def _try(program: Program, destination: Destination) -> tuple[str | None, str | None]:
    """Give (free space in words, None) or (None, what is wrong and how to mend it)."""
    try:
        destination.probe(os.urandom(8).hex())
        free = destination.free()
    except UnknownHost as error:
        if _accepted(program, destination, error):
            return _try(program, program.destination(destination.name))
        return None, f"{error}; {error.hint}"
    except VaultError as error:
        return None, f"{error}; {error.hint}" if error.hint else str(error)
    return "unknown" if free is None else bytes_text(free), None


def _accepted(program: Program, destination: Destination, error: UnknownHost) -> bool:
    """Ask on a terminal whether to trust a host key, and remember it by the key file."""
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
