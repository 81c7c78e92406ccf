"""Run of a prune or verify document on the stored archives of one service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.run import Cancelled, Outcome
from packrat.runs.execute import execute_watched
from stages.facts import Job, ScratchFolder, Stores
from stages.spool_folder import SpoolFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.events import Listener
    from packrat.program import Program
    from specs.pipeline import Pipeline


def maintain(pipeline: Pipeline, program: Program, listeners: Sequence[Listener] = ()) -> Outcome:
    """Run the document; raises an error that ended it before any destination was reached."""
    stores = Stores(program.opened(pipeline.destinations))
    spool = SpoolFolder(os.path.join(pipeline.spool, pipeline.service))
    scratch = ScratchFolder.of(pipeline.state_dir)
    job = Job(service=pipeline.service, host=pipeline.host)
    given = (job, program.keys, stores, program.cache, program.record, spool, scratch)
    done = execute_watched(pipeline.service, pipeline.graph(), given, listeners)
    if done.problem and done.outcome.failed:
        raise done.problem
    for stage, error in done.outcome.failed.items():
        if isinstance(error, Cancelled | KeyboardInterrupt):
            raise KeyboardInterrupt
        if stage == "survey":
            raise error
    return done.outcome
