"""`packrat check`: validation, risky settings, and with --connect a test of the destinations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packrat.errors import Exit
from packrat.text.report import as_json as print_json
from packrat.text.report import count_text
from packrat.verbs.connecting import look_at_containers, try_destinations
from specs.exposure import exposed_metrics, exposed_secrets, risky_commands
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packrat.program import Program
    from specs.config import Config


def check_all(program: Program, *, connect: bool, accept_empty: bool, as_json: bool) -> int:
    """Validate the configuration, and with `connect` test every destination."""
    from specs.compile import compile_service

    config = program.config
    for name in config.services:
        compile_service(config, name).graph()
    of_containers, away = look_at_containers(program)
    notes = [*_notes(config, program.file), *of_containers]
    tried = try_destinations(program, accept_empty=accept_empty) if connect else []
    failed = [*(one for one in tried if one["problem"]), *(away if connect else [])]
    if as_json:
        document = {"valid": True, "notes": notes, "destinations": tried}
        print_json(document | ({"docker": away} if connect else {}))
    else:
        for note in notes:
            print(f"note: {printable(note)}")
        for one in tried:
            how = f"problem: {one['problem']}" if one["problem"] else f"works, free: {one['free']}"
            print(f"{one['destination']}: {printable(how)}")
            for limit in one["limits"]:
                print(f"{one['destination']}: note: {printable(limit)}")
        for problem in away if connect else []:
            print(f"docker: problem: {printable(problem)}")
        places = ", ".join(config.destinations())
        if bad := sum(one["problem"] is not None for one in tried):
            print(f"{bad} of {count_text(len(tried), 'destination')} failed")
        elif not failed:
            print(f"valid: {count_text(len(config.services), 'service')}, to {places}")
    return Exit.FAILED if failed else Exit.DONE


def _notes(config: Config, file: str) -> Iterator[str]:
    """Yield notes about valid settings that may be mistakes or risks."""
    for name, service in config.services.items():
        if not os.path.isdir(service.path):
            yield f"services.{name}.path: {service.path} is not a folder on this machine"
    yield from map(str, exposed_secrets(config, file))
    yield from risky_commands(config)
    if warning := exposed_metrics(config):
        yield warning
