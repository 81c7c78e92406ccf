"""`packrat prune`: deletion by retention, or a report of what would be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.runs.forgetting import pending, settle
from packrat.runs.prune import prune_pipelines
from packrat.text.report import warn
from specs.compile import compile_prune

if TYPE_CHECKING:
    from packrat.program import Program


def prune(program: Program, service: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Delete, or with `dry_run` list, archives that are not needed; return the exit status."""
    services = program.services([service]) if service else list(program.config.services)
    if not dry_run and pending(program.state_dir):
        # Finish what `forget` could not delete at destinations that were away.
        for sentence in settle(program, program.destinations().values()):
            warn(sentence)
    pipelines = [compile_prune(program.config, name, dry_run=dry_run) for name in services]
    return prune_pipelines(pipelines, program, as_json=as_json)
