"""Alarms of the services whose destinations a run or a command has listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault.catalog.watch import look_back

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.program import Program
    from vault.catalog.alarm import Alarm
    from vault.catalog.catalog import Catalog


def alarms_of(
    program: Program, service: str, catalogs: Iterable[Catalog], since: float, **how: Any
) -> list[Alarm]:
    """Return the alarms about a service; see `look_back` for the arguments."""
    rules = program.rules(service)
    return look_back(program.record, program.host, rules, list(catalogs), since, **how)
