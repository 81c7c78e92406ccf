"""Catalogs of services, from every destination that answers, and the alarms that they raise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.text.alarms import alarm_text
from packrat.text.report import warn
from vault.catalog.watch import look_back
from vault.errors import Retryable, UnknownHost, VaultError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from packrat.program import Program
    from vault.catalog.alarm import Alarm
    from vault.catalog.catalog import Catalog


def catalogs(
    program: Program,
    services: Iterable[str],
    source: str | None = None,
    *,
    marks: bool = True,
    silent: Collection[str] = (),
) -> tuple[list[Catalog], Exit]:
    """Return the catalogs of all destinations that answer, and DONE or PARTIAL.

    It is PARTIAL, with a warning, if some do not answer or lack backups that they had. One that
    does not answer is asked once, and not again for each service; those in `silent` are not asked
    at all. Without `marks`, archives that were found damaged earlier count as well. Raises Away if
    no destination answers.
    """
    found: list[Catalog] = []
    failures: dict[str, VaultError] = {}
    silent = set(silent)
    alarms: list[str] = []
    for service in services:
        listed, away, raised = list_service(program, service, source, silent, marks=marks)
        found += listed.values()
        alarms += map(alarm_text, raised)
        silent |= {name for name, why in away.items() if isinstance(why, Retryable | UnknownHost)}
        for why in away.values():  # the same cause is reported once, not again for each service
            failures.setdefault(str(why).replace(f"cannot list {service}", ""), why)
    failed = list(failures.values())
    for other in failed if found else failed[1:]:
        warn(str(other))
    if failed and not found:
        raise failed[0]
    for text in alarms:
        warn(text)
    return found, Exit.PARTIAL if failed or alarms else Exit.DONE


def list_service(
    program: Program,
    service: str,
    source: str | None = None,
    silent: Collection[str] = (),
    *,
    marks: bool = True,
) -> tuple[dict[str, Catalog], dict[str, VaultError], list[Alarm]]:
    """List all destinations of a service, or only `source`.

    Return destination -> catalog, destination -> error of those that do not answer, and the alarms.
    Those in `silent` are not asked. Without `marks`, archives that were found damaged earlier count
    as well.
    """
    since = time.time()
    if source is None:
        destinations = program.destinations(service)
    else:  # the secrets of the others may be missing
        destinations = {source: program.destination(source)}
    asked = {name: one for name, one in destinations.items() if name not in silent}
    found, away = program.cache.catalogs(asked, service, program.keys, marks=marks)
    alarms = alarms_of(program, service, found.values(), since, asked_all=source is None)
    return found, away, alarms


def alarms_of(
    program: Program, service: str, catalogs: Iterable[Catalog], since: float, **how: Any
) -> list[Alarm]:
    """Return the alarms about a service; see `look_back` for the arguments."""
    rules = program.rules(service)
    return look_back(program.record, program.host, rules, list(catalogs), since, **how)
