"""Notes in a restore's plan about running containers that use the files to be replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.text.report import warn
from stages.errors import SourceError
from stages.service.docker import Engine
from stages.service.neighbours import others, restart_text, uses

if TYPE_CHECKING:
    from specs.pipeline import Pipeline

PATIENCE_SECONDS = 10
"""Seconds for an answer of the Docker engine; a plan does not need it."""


def sharing_notes(pipeline: Pipeline) -> dict[str, str]:
    """Return stage -> note on other containers that use the files to be replaced."""
    notes = {}
    for name, params in pipeline.stages.items():
        if params.get("kind") != "containers" or not (path := params.get("path")):
            continue
        engine = Engine(params.get("host"), PATIENCE_SECONDS)
        try:
            ids = {engine.look(one).id for one in params["names"]}
            found = [one for one in others(engine, ids) if uses(one, path)]
        except SourceError as error:
            warn(f"whether other containers use {path} is not known: {error}")
            continue
        if found:
            notes[name] = "now: " + "; ".join(restart_text(one, path) for one in found)
    return notes
