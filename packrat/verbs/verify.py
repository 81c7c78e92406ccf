"""`packrat verify`: verification of the stored archives at the requested depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.errors import Exit
from packrat.notify.message import notifier
from packrat.restore.choose import find_archives
from packrat.runs.catalogs import catalogs
from packrat.runs.left_out import note_left_out
from packrat.runs.verify import verify_pipelines
from packrat.text.progress import Detail
from specs.compile import compile_verify
from vault.catalog.prover import Depth

if TYPE_CHECKING:
    from collections.abc import Callable

    from packrat.program import Program
    from specs.config import Config


def verify_stored(
    program: Program,
    service: str | None,
    backup: str | None,
    source: str | None,
    *,
    deep: bool,
    as_json: bool,
    detail: Detail,
) -> int:
    """Verify and report; return the exit status.

    FAILED if anything is damaged or missing, PARTIAL if something could not be read.
    """
    stored = program.services([service], stored=True) if service else None
    config = program.config
    services = stored or list(config.services)
    depth = Depth.CHUNKS if deep else Depth.SAMPLES
    chosen: dict[str, str] = {}
    if source is not None:
        program.destination(source)  # raises UsageError if there is none of that name
    if backup:
        found, _ = catalogs(program, services, source, marks=False)
        chosen = find_archives(found, backup, config.host)
        services = list(chosen)
    pipelines = [compile_verify(config, name, depth, chosen.get(name), source) for name in services]
    status = verify_pipelines(
        pipelines,
        program,
        as_json=as_json,
        detail=detail,
        asked_all=source is None,
        report=_report(config),
    )
    if not (service or backup or as_json or detail is Detail.QUIET or status == Exit.PARTIAL):
        note_left_out(program, "verified", "packrat verify SERVICE verifies one", source)
    return status


def verify_share(program: Program, *, as_json: bool, detail: Detail) -> int:
    """Verify the share that is due, and repair it; return the exit status."""
    from packrat.runs.verify_due import verify_due

    config = program.config
    pipelines = [compile_verify(config, name, Depth.FRAMES) for name in config.services]
    percent, report = config.verify.deep_percent, _report(config)
    return verify_due(pipelines, percent, as_json=as_json, detail=detail, report=report)


def _report(config: Config) -> Callable[[list[dict[str, Any]]], None]:
    """Return what notifies damage, however the verification was started."""
    notify = notifier(config)
    return notify.verified if notify else lambda _: None
