"""Facts and resources for every job that may stop containers or run commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.program import log_file
from packrat.runs.repair import resolve
from stages.facts import CommandLog, DowntimeClock, ScratchFolder, Secrets, StateFolder
from stages.service.container_lock import ContainerLocks

if TYPE_CHECKING:
    from specs.pipeline import Pipeline


def service_given(pipeline: Pipeline, run: str) -> tuple[Any, ...]:
    """Return these facts and resources; the journal is not among them.

    `run` names the run in the log of its commands.
    """
    log = CommandLog(log_file(pipeline.state_dir, pipeline.service), run)
    state = pipeline.state_dir
    return (
        log,
        Secrets(resolve),
        DowntimeClock(),
        StateFolder(state),
        ScratchFolder.of(state),
        ContainerLocks(state, pipeline.service),
    )
