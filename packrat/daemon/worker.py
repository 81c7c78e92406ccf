"""Process of a job: it reads its work from standard input, and ends when the daemon dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import msgspec

from packrat.daemon.jobs import DAEMON
from packrat.daemon.work import Work
from packrat.errors import Exit
from packrat.runs.signals import interrupt_on_sigterm
from specs.pipeline import Pipeline
from specs.secret import use_literals
from stages.masking import never_mask

SET_PDEATHSIG = 1
"""Option of prctl(2): the kernel sends this process a signal when its parent dies."""


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
