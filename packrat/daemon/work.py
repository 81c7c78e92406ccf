"""Work of a job: the daemon hands it to a child on its standard input, and the child does it.

It is self-contained, so that a file that is just being edited harms no job.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from packrat.errors import Exit
from packrat.runs.signals import interrupt_on_sigterm
from specs.compile import compile_service, compile_verify
from specs.load import literals_of
from specs.pipeline import Pipeline
from specs.secret import use_literals
from stages.masking import never_mask
from vault.catalog.prover import Depth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from specs.config import Config

Kind = Literal["backup", "verify", "repair"]

DAEMON = "PACKRAT_DAEMON"
"""Variable with the daemon's process id, for its children."""
SET_PDEATHSIG = 1
"""Option of prctl(2): the kernel sends this process a signal when its parent dies."""


class Work(msgspec.Struct, frozen=True):
    """Pipeline documents, and what they refer to."""

    kind: Kind
    pipelines: list[dict[str, Any]]
    literals: dict[str, str]
    """Texts of the secrets that are written in the configuration."""
    unmasked: list[str]
    """Words of the configuration that are shown even if they equal a secret."""
    percent: float
    """Share of the stored bytes that a verification reads."""


def work_of(config: Config, kind: Kind, services: Iterable[str]) -> bytes:
    """Return the work of a job on some services, as JSON."""
    pipelines = [
        compile_verify(config, name, Depth.FRAMES)
        if kind == "verify"
        else compile_service(config, name)
        for name in services
    ]
    work = Work(
        kind,
        [pipeline.document() for pipeline in pipelines],
        literals_of(config),
        config.shown_words(),
        config.verify.deep_percent,
    )
    return msgspec.json.encode(work)


def run_work() -> int:
    """Do the work on standard input; return the exit status."""
    _end_with_the_daemon()
    work = msgspec.json.decode(sys.stdin.buffer.read(), type=Work)
    use_literals(work.literals)
    never_mask(work.unmasked)
    pipelines = [Pipeline.model_validate(document) for document in work.pipelines]
    if work.kind == "backup":
        from packrat.runs.backups import back_up_all

        return back_up_all(pipelines, as_json=True)
    if work.kind == "verify":
        from packrat.runs.verify_due import verify_due

        return verify_due(pipelines, work.percent, as_json=True)
    from packrat.runs.repair import repair
    from packrat.text.report import warn

    spools = {one.service: os.path.join(one.spool, one.service) for one in pipelines}
    for sentence in repair(pipelines[0].state_dir, spools):
        warn(sentence)
    return Exit.DONE


def _end_with_the_daemon() -> None:
    """End in order when the daemon asks for it or dies."""
    daemon = os.environ.pop(DAEMON, "")  # not for the commands that we run
    interrupt_on_sigterm()
    ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != daemon:  # it died before the call above
        sys.exit(Exit.INTERRUPTED)
