"""Shell commands on this machine or in a container, bounded in time and in what they print."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stages.errors import SourceError
from stages.facts import CommandLog
from stages.service.account import account_of, command_environment
from stages.service.docker import DockerEngine
from stages.service.exec import read_number
from stages.service.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE_SECONDS = 10
"""Time for a command to end after SIGTERM, before it is killed."""
UMASK = 0o022
"""The usual one. Packrat's own is 077, but the files that a command writes may be for others, for
example a dump that a container loads after a restore."""

# Bash fails if any command of a pipe fails, and at the first line that does. A container may only
# have a plain sh: pipefail is switched on where sh knows it (busybox). The process number is
# printed first, so that the whole group can be ended.
IN_CONTAINER = """echo $$
if command -v bash >/dev/null 2>&1; then exec bash -eo pipefail -c "$1"; fi
if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi
set -e
eval "$1"
"""


class Shell(BaseModel):
    """Command with its user, folder, environment and time limit, as in a pipeline document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    working_dir: str | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    """Name -> secret by reference."""
    timeout: int = 3600
    user: str | None = None
    """NAME, UID, or either with :GROUP; by default packrat's user, or that of the container."""
    container: str | None = None
    host: str | None = None
    """Address of the Docker engine that runs the container."""

    @property
    def headline(self) -> str:
        """The command's first line, for a plan."""
        first, *more = self.command.strip().splitlines()
        where = f"in {self.container}: " if self.container else ""
        return f"{where}{first.rstrip(chr(92)).strip()}{' …' if more else ''}"

    def check(self, what: str) -> None:
        """Raise SourceError if the command cannot start."""
        if self.container:
            if not DockerEngine(self.host).inspect(self.container).running:
                raise SourceError(
                    f"{what}: container {self.container} is not running", "start it first"
                )
            return
        if self.working_dir is not None and not os.path.isdir(self.working_dir):
            raise SourceError(
                f"{what}: its working_dir {self.working_dir} is not a folder",
                f"create it, or correct {what}.working_dir",
            )
        if self.user is not None and os.geteuid() != 0 and not account_of(self.user).is_caller:
            raise SourceError(
                f"{what}: only root can run a command as user {self.user}",
                f"run packrat as root or as {self.user}, or remove {what}.user",
            )

    def run(
        self,
        what: str,
        secret: Callable[[Any], str],
        log: CommandLog | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the command and wait for its end.

        Args:
            what: Name of the command in messages, for example pre_backup.
            secret: Resolves a reference of `environment`.
            log: Log that its output is appended to.
            check: Called at least four times a second; what it raises ends the command.

        Raises:
            SourceError: It fails, with its last lines, or takes longer than `timeout`.
        """
        self.check(what)
        secrets = {name: secret(value) for name, value in self.environment.items()}
        log = log or CommandLog()
        output = Output(log.file, f"{what}, {log.run}" if log.run else what, secrets.values())
        end = "was ended"
        process: _Process = (
            _ContainerProcess(self, secrets)
            if self.container
            else _LocalProcess(self, secrets, what)
        )
        reader = threading.Thread(target=_drain, args=(process, output), daemon=True)
        reader.start()
        try:
            status = self._wait(process, what, output, check)
            end = f"ended with status {status}"
        finally:
            process.end()
            reader.join(1)  # a grandchild may keep the pipe open for ever
            output.close(f"{what} {end}")
        if status:
            raise SourceError(f"{what} failed with status {status}{output.last}", self._hint)

    @property
    def _hint(self) -> str:
        if self.container:
            return "try it by hand in the container"
        user = self.user or "packrat's user"
        return f"try it by hand as {user}"

    def _wait(self, process: _Process, what: str, output: Output, check: Callable[[], None]) -> int:
        limit = time.monotonic() + self.timeout
        pause = 0.005
        while (status := process.status()) is None:
            if time.monotonic() > limit:
                process.end()
                raise SourceError(
                    f"{what} took longer than {self.timeout} s and was ended{output.last}",
                    f"give it longer: {what}.timeout",
                )
            check()
            time.sleep(pause)
            pause = min(pause * 2, 0.25)
        return status


class _Process(Protocol):
    """A running command."""

    def output(self) -> Iterator[bytes]:
        """Yield what it prints, as it arrives."""

    def status(self) -> int | None:
        """Return its exit status, None while it runs."""

    def end(self) -> None:
        """End the whole process group with SIGTERM, then SIGKILL; do nothing if it has ended."""


class _LocalProcess:
    """Process group on this machine."""

    def __init__(self, shell: Shell, secrets: dict[str, str], what: str) -> None:
        account = account_of(shell.user) if shell.user is not None else None
        other = account if account and not account.is_caller else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 (it is the user's own)
                ["bash", "-eo", "pipefail", "-c", shell.command],  # noqa: S607
                cwd=shell.working_dir or "/",
                env=command_environment(secrets, account),
                user=other.uid if other else None,
                group=other.gid if other else None,
                extra_groups=other.groups if other else None,
                umask=UMASK,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceError(
                f"{what}: cannot start bash: {error.strerror}", "is bash installed?"
            ) from error
        assert self._process.stdout
        self._pipe = self._process.stdout

    def output(self) -> Iterator[bytes]:
        while piece := os.read(self._pipe.fileno(), 1 << 16):
            yield piece

    def status(self) -> int | None:
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def end(self) -> None:
        running = self._process.poll() is None
        if running:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
            self._signal(signal.SIGKILL)  # also ends the processes that it left behind
            self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class _ContainerProcess:
    """Command that Docker runs inside a container, in a session of its own."""

    def __init__(self, shell: Shell, secrets: dict[str, str]) -> None:
        assert shell.container
        self._engine, self._name = DockerEngine(shell.host), shell.container
        command = ["sh", "-c", IN_CONTAINER, "sh", shell.command]
        self._user = shell.user or ""
        self._id = self._engine.begin(self._name, command, secrets, shell.working_dir, self._user)
        self._pid = 0
        self._over = threading.Event()

    def output(self) -> Iterator[bytes]:
        pieces = self._engine.output(self._id, self._name)
        try:
            self._pid, rest = read_number(pieces)
            yield rest
            yield from pieces
        finally:
            self._over.set()

    def status(self) -> int | None:
        return self._engine.status(self._id, self._name) if self._over.is_set() else None

    def end(self) -> None:
        if self._over.is_set() or self._pid <= 1:
            return
        for number in ("TERM", "KILL"):
            kill = ["sh", "-c", f"kill -{number} -{self._pid}"]
            with suppress(SourceError):
                made = self._engine.begin(self._name, kill, {}, None, self._user)
                list(self._engine.output(made, self._name))
            if self._over.wait(GRACE_SECONDS):
                return


def _drain(process: _Process, output: Output) -> None:
    with suppress(OSError, SourceError, ValueError):
        for piece in process.output():
            output.add(piece)
