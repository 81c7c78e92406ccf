"""Names that a shell completes: services, destinations, backups and formats.

They come from the configuration and the cache; no destination is contacted. A completion must not
fail or print, so without a valid configuration nothing is completed.
"""

from __future__ import annotations

import io
from contextlib import closing, redirect_stderr, suppress
from typing import TYPE_CHECKING, Any

from packrat.text.formats import LOG_FORMATS, PLAN_FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packrat.program import Program

    Candidates = Iterable[str | tuple[str, str]]


def completer(candidates: Callable[[Any], Candidates]) -> Callable[..., list[Any]]:
    """Return a function for typer's `autocompletion`.

    Where nothing begins with the typed word, the word itself is offered: otherwise shells would
    complete it to the name of a file.
    """

    def complete(ctx: Any, incomplete: str) -> list[Any]:
        found: list[Any] = []
        with suppress(Exception), redirect_stderr(io.StringIO()):
            found = list(candidates(ctx))
        names = [one if isinstance(one, str) else one[0] for one in found]
        return found if any(name.startswith(incomplete) for name in names) else [incomplete]

    return complete


def _program(ctx: Any) -> Program:
    from packrat.program import Program

    return Program(ctx.params.get("config") or ctx.find_root().params.get("config"), only_look=True)


def _services(ctx: Any) -> Candidates:
    given = ctx.params.get("services") or ctx.params.get("what") or ()
    return [name for name in _program(ctx).config.services if name not in given]


@completer
def stored_services(ctx: Any) -> Candidates:
    """Return the configured services, and others that were listed at a destination."""
    program = _program(ctx)
    with closing(program.cache) as cache:
        return dict.fromkeys([*program.config.services, *cache.remembered()])


@completer
def destinations(ctx: Any) -> Candidates:
    """Return the destinations of a service, or all."""
    program, service = _program(ctx), ctx.params.get("service")
    named = program.config.destinations()
    if service in program.config.services:
        named = program.config.destinations_of(program.config.services[service])
    return list(named)


@completer
def backups(ctx: Any) -> Candidates:
    """Yield the ids of a service's backups, the newest first, with their times."""
    from packrat.text.report import time_text, when_text
    from vault.archive.format import ArchiveName

    yield "latest", "the newest backup"
    with closing(_program(ctx).cache) as cache:
        remembered = cache.remembered()
    service = ctx.params.get("service")
    chosen = [service] if service else list(remembered)
    names = {name for one in chosen for at in remembered.get(one, {}).values() for name in at.names}
    for name in sorted(names, reverse=True):
        if parts := ArchiveName.parse(name):
            yield parts.short, f"{when_text(parts.time)} ({time_text(parts.time)})"


@completer
def examples(_: Any) -> Candidates:
    """Return the names of the example configurations."""
    from packrat.text.shipped import shipped

    return sorted(file.stem for file in shipped("examples").glob("*.yaml"))


services = completer(_services)
plannable = completer(lambda ctx: [*_services(ctx), "prune", "verify"])
plan_formats = completer(lambda _: PLAN_FORMATS)
log_formats = completer(lambda _: LOG_FORMATS)
