"""Reading of the catalogs of several services, from every destination that answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from packrat.errors import Exit
from packrat.runs.watch import alarms_of
from packrat.text.alarms import alarm_text
from packrat.text.report import warn
from vault.errors import Retryable, UnknownHost

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from packrat.program import Program
    from vault.catalog.catalog import Catalog
    from vault.errors import VaultError


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
        since = time.time()
        destinations = program.destinations(service)
        if source is not None:
            destinations = {source: program.destination(source)}
        asked = {name: one for name, one in destinations.items() if name not in silent}
        item, away = program.cache.catalogs(asked, service, program.keys, marks=marks)
        found += item.values()
        every = alarms_of(program, service, item.values(), since, asked_all=source is None)
        alarms += map(alarm_text, every)
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
