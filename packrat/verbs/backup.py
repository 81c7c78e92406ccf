"""`packrat backup`: backups of some services, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.errors import UsageError
from packrat.notify.message import notifier
from packrat.runs.backups import back_up_all
from specs.compile import compile_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program
    from packrat.runs.backup import Choices
    from packrat.text.progress import Detail
    from specs.pipeline import Pipeline


def back_up_services(
    program: Program,
    services: Sequence[str],
    choices: Choices,
    *,
    all_services: bool,
    full: bool,
    as_json: bool,
    detail: Detail,
) -> int:
    """Back up the named services, or all; return the exit status. Raises UsageError."""
    pipelines = pipelines_of(program, services, all_services=all_services, full=full)
    notify = notifier(program.config)
    return back_up_all(pipelines, choices, as_json=as_json, notify=notify, detail=detail)


def pipelines_of(
    program: Program, services: Sequence[str], *, all_services: bool, full: bool
) -> list[Pipeline]:
    """Compile the named services, or all.

    Raises UsageError for an unknown name, for no name without `all_services`, and for both.
    """
    if bool(services) == all_services:
        raise UsageError("name the services to back up, or pass --all, but not both")
    names = list(program.config.services) if all_services else program.services(services)
    return [compile_service(program.config, name, full=full) for name in names]
