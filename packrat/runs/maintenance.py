"""Run of a prune or verify document on the stored archives of one service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.facts import Facts
from engine.run import Cancelled, Clock, Run, Shared
from engine.wiring import execute
from packrat.program import open_destinations
from packrat.runs.signals import interruptible
from packrat.runs.watchdog import Watchdog
from stages.facts import Job, ScratchFolder, Stores
from stages.spool_folder import SpoolFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.events import Listener
    from engine.run import Outcome
    from specs.pipeline import Pipeline
    from vault.archive.keys import Keys
    from vault.catalog.cache import CatalogCache


def maintain(
    pipeline: Pipeline, keys: Keys, cache: CatalogCache, listeners: Sequence[Listener] = ()
) -> Outcome:
    """Run the document; raises an error that ended it before any destination was reached."""
    stores = Stores(open_destinations(pipeline))
    spool = SpoolFolder(os.path.join(pipeline.spool, pipeline.service))
    scratch = ScratchFolder.of(pipeline.state_dir)
    job = Job(service=pipeline.service, host=pipeline.host)
    clock = Clock()
    watchdog = Watchdog(pipeline.service, clock)
    facts = Facts((job, keys, stores, cache, spool, scratch))
    run = Run(Shared([watchdog, *listeners], clock, facts=facts))
    with interruptible(run, watchdog):
        outcome = execute(pipeline.graph(), run)
    if watchdog.problem and outcome.failed:
        raise watchdog.problem
    for stage, error in outcome.failed.items():
        if isinstance(error, Cancelled | KeyboardInterrupt):
            raise KeyboardInterrupt
        if stage == "survey":
            raise error
    return outcome
