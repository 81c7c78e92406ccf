"""Notes of a restore's plan: containers that keep running on files which are exchanged."""

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
    """Return stage -> which other containers use what is restored in place."""
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
