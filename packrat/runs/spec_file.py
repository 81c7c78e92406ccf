"""Pipelines of a specification file: a configuration, or pipeline documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.errors import UsageError
from specs.compile import compile_service
from specs.faults import ConfigFaults
from specs.pipeline import Pipeline, is_pipeline, load_pipelines
from specs.trust import distrusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.program import Program


def pipelines_of(program: Program, spec: str | None, services: Sequence[str]) -> list[Pipeline]:
    """Return the pipelines of a pipeline document, or compile those of a configuration.

    Raises ConfigFaults, and UsageError for an unknown service.
    """
    if spec is not None and is_pipeline_file(spec):
        pipelines = load_pipelines(spec)
        keys = [pipeline.key_file for pipeline in pipelines]
        folders = [folder for one in pipelines for folder in (one.state_dir, one.spool)]
        if faults := list(distrusted(keys, folders)):
            raise ConfigFaults(faults)
        known = [pipeline.service for pipeline in pipelines]
        for name in services:
            if name not in known:
                raise UsageError(f"{spec} has no pipeline of {name!r}; it has: {', '.join(known)}")
        return [p for p in pipelines if not services or p.service in services]
    names = program.services(services) if services else list(program.config.services)
    return [compile_service(program.config, name) for name in names]


def is_pipeline_file(spec: str) -> bool:
    """Return whether a file contains pipeline documents; an unreadable file does not."""
    try:
        with open(spec, encoding="utf-8", errors="replace") as file:
            return is_pipeline(file.read(1 << 20))
    except OSError:
        return False  # the loader of configurations reports why
