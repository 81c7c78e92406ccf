"""Reading of the catalogs of several services, from every destination that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.errors import Exit
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
    """Return the catalogs of all destinations that answer; if some do not, warn and add PARTIAL.

    A destination that does not answer is asked once, and not again for each service; those in
    `silent` are not asked at all. Without
    `marks`, archives that were found damaged earlier count as well. Raises Away if no destination
    answers.
    """
    found: list[Catalog] = []
    failures: dict[str, VaultError] = {}
    silent = set(silent)
    for service in services:
        destinations = program.destinations(service)
        if source is not None:
            destinations = {source: program.destination(source)}
        asked = {name: one for name, one in destinations.items() if name not in silent}
        item, away = program.cache.catalogs(asked, service, program.keys, marks=marks)
        found += item.values()
        silent |= {name for name, why in away.items() if isinstance(why, Retryable | UnknownHost)}
        for why in away.values():  # the same cause is told once, not again for each service
            failures.setdefault(str(why).replace(f"cannot list {service}", ""), why)
    failed = list(failures.values())
    for other in failed if found else failed[1:]:
        warn(str(other))
    if failed and not found:
        raise failed[0]
    return found, Exit.PARTIAL if failed else Exit.DONE
