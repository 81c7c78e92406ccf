"""Jobs of the daemon: runs of packrat as child processes, which can be ended from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from msgspec import Struct

from packrat.daemon.work import DAEMON
from packrat.runs.recorder import INSTANT
from packrat.surroundings import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE_SECONDS = 60.0
"""Seconds for a child to end in order, its containers up again, before it is killed."""


class Job(Struct, frozen=True):
    """Work to do, and the instant it is due for."""

    name: str
    work: bytes
    """A JSON document for the standard input of `packrat job`."""
    instant: float
    timeout: float | None = None


class JobResult(Struct, frozen=True):
    """Result of a job."""

    job: Job
    status: int
    """Exit status of the process; negative for a signal."""
    timed_out: bool
    document: list[dict[str, Any]] | None
    """Its report, None if it did not end in order."""

    @property
    def fault(self) -> str:
        """Reason why the child did not report a result."""
        if self.timed_out:
            return f"took longer than its timeout of {self.job.timeout:.0f} s, and was ended"
        if self.status < 0:
            return f"its process was killed by {signal.Signals(-self.status).name}"
        return f"its process ended with status {self.status}"


@dataclass
class Child:
    """A running job."""

    job: Job
    say: Callable[[str], None]
    """Called with each line that the child prints on standard error."""
    config_file: str
    """For the list of processes only."""
    _process: asyncio.subprocess.Process | None = None
    _stopped: bool = False

    async def run(self) -> JobResult:
        """Run the job to its end, or stop it at its timeout."""
        with tempfile.TemporaryFile() as output, _in_memory(self.job.work) as work:
            self._process = await asyncio.create_subprocess_exec(
                *(*PYTHON, "-m", "packrat", "--config", self.config_file, "job", self.job.name),
                cwd="/",
                stdin=work,
                stdout=output,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env=os.environ | {INSTANT: repr(self.job.instant), DAEMON: str(os.getpid())},
            )
            if self._stopped:
                self.stop()
            listening = asyncio.create_task(self._listen(self._process))
            timed_out = not await self._ends_within(self.job.timeout)
            if timed_out:
                self.stop()
                if not await self._ends_within(GRACE_SECONDS):
                    self.kill()
            status = await self._process.wait()
            with suppress(TimeoutError):  # a grandchild may keep the pipe open
                await asyncio.wait_for(listening, 1)
            output.seek(0)
            document = None if timed_out else _parse(output.read())
            return JobResult(self.job, status, timed_out, document)

    def stop(self) -> None:
        """Request the job to end in order."""
        self._stopped = True
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the job and its descendants at once."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _ends_within(self, seconds: float | None) -> bool:
        assert self._process is not None
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # a line longer than the stream's limit
                continue
            if not line:
                return
            if text := line.decode(errors="replace").strip():
                self.say(text)


def _in_memory(data: bytes) -> BinaryIO:
    """Return a file with secrets, which is never on a disk."""
    file = os.fdopen(os.memfd_create("packrat-work"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _parse(output: bytes) -> list[dict[str, Any]] | None:
    try:
        document = json.loads(output)
    except ValueError:
        return None
    return document if isinstance(document, list) else None
