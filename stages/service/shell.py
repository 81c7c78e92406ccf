"""Run a shell command, on this machine or in a container: bounded in time and in what it prints."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stages.errors import SourceError
from stages.masking import hidden
from stages.service.docker import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GRACE_SECONDS = 10
"""How long a command may take to end when it is asked to; then it is killed."""
LAST_LINES = 5
LINE_BYTES = 8192
LINE_SHOWN = 300
LOG_BYTES = 16 << 20
"""What a log keeps of a command that prints without end."""

# Bash fails when any command of a pipe fails, and at the first line that does. A container may have
# only a plain sh: one that knows pipefail (busybox) is told so. Its process number comes first,
# so that the whole group can be ended.
IN_CONTAINER = """echo $$
if command -v bash >/dev/null 2>&1; then exec bash -eo pipefail -c "$1"; fi
if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi
set -e
eval "$1"
"""


class Shell(BaseModel):
    """A command and its surroundings, as a pipeline document writes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    working_dir: str | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    """Name -> where its value is: a secret by reference."""
    timeout: int = 3600
    container: str | None = None
    host: str | None = None
    """The Docker engine's address, where it runs in a container."""

    @property
    def headline(self) -> str:
        """The command's first line, for a plan."""
        first, *more = self.command.strip().splitlines()
        where = f"in {self.container}: " if self.container else ""
        return f"{where}{first.rstrip(chr(92)).strip()}{' …' if more else ''}"

    def check(self, what: str) -> None:
        """Raise SourceError when it could not even begin."""
        if self.container:
            if not Engine(self.host).look(self.container).running:
                raise SourceError(
                    f"{what}: container {self.container} is not running", "start it first"
                )
        elif self.working_dir is not None and not os.path.isdir(self.working_dir):
            raise SourceError(
                f"{what}: its working_dir {self.working_dir} is not a folder",
                f"make it, or mend {what}.working_dir",
            )

    def run(
        self,
        what: str,
        secret: Callable[[Any], str],
        log: str | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Run it to its end; raises SourceError with its last lines when it fails.

        `what` names it, `secret` resolves a reference, `log` is a file that its output goes to,
        `check` is called now and then, and may raise to end it.
        """
        self.check(what)
        secrets = {name: secret(value) for name, value in self.environment.items()}
        output = _Output(log, what, secrets.values())
        process: _Process = (
            _InContainer(self, secrets) if self.container else _Here(self, secrets, what)
        )
        reader = threading.Thread(target=_drain, args=(process, output), daemon=True)
        reader.start()
        try:
            status = self._wait(process, what, output, check)
        finally:
            process.end()
            reader.join(1)  # a grandchild may keep the pipe open: nobody waits for it
            output.close()
        if status:
            raise SourceError(f"{what} failed with status {status}{output.last}", self._hint)

    @property
    def _hint(self) -> str:
        return "try it by hand, as packrat's user" if not self.container else "try it by hand there"

    def _wait(
        self, process: _Process, what: str, output: _Output, check: Callable[[], None]
    ) -> int:
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
        """Give what it prints, as it comes."""

    def status(self) -> int | None:
        """Give its exit status, None as long as it runs."""

    def end(self) -> None:
        """End all of it: ask, wait a little, kill; does nothing when it has ended."""


class _Here:
    """A process group of this machine."""

    def __init__(self, shell: Shell, secrets: dict[str, str], what: str) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 (it is the user's own)
                ["bash", "-eo", "pipefail", "-c", shell.command],  # noqa: S607
                cwd=shell.working_dir,
                env=os.environ | secrets,
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
            self._signal(signal.SIGKILL)  # also what it started and left behind
            self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class _InContainer:
    """A command that the engine runs inside a container, in a session of its own."""

    def __init__(self, shell: Shell, secrets: dict[str, str]) -> None:
        assert shell.container
        self._engine, self._name = Engine(shell.host), shell.container
        command = ["sh", "-c", IN_CONTAINER, "sh", shell.command]
        self._id = self._engine.begin(self._name, command, secrets, shell.working_dir)
        self._pid = b""
        self._over = threading.Event()

    def output(self) -> Iterator[bytes]:
        begun = b""
        try:
            for piece in self._engine.output(self._id, self._name):
                if self._pid:
                    yield piece
                    continue
                begun += piece
                if b"\n" in begun:
                    self._pid, _, rest = begun.partition(b"\n")
                    yield rest
        finally:
            self._over.set()

    def status(self) -> int | None:
        return self._engine.status(self._id, self._name) if self._over.is_set() else None

    def end(self) -> None:
        if self._over.is_set() or not self._pid:
            return
        for number in ("TERM", "KILL"):
            kill = ["sh", "-c", f"kill -{number} -- -{self._pid.decode()}"]
            with suppress(SourceError):
                made = self._engine.begin(self._name, kill, {}, None)
                list(self._engine.output(made, self._name))
            if self._over.wait(GRACE_SECONDS):
                return


class _Output:
    """What a command prints: much in a log, the last lines for an error, secrets in neither."""

    def __init__(self, log: str | None, what: str, secrets: Iterable[str]) -> None:
        # The longest first: one may be part of another. Its own, however short, and all others.
        every = {s.encode() for s in (*secrets, *hidden()) if s}
        self._secrets = sorted(every, key=len, reverse=True)
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._begun = b""
        self._left = LOG_BYTES
        self._log = _opened(log)
        self._write(f"--- {what}\n".encode())

    @property
    def last(self) -> str:
        """The last lines, to go on with in a sentence."""
        return f"; it said: {' | '.join(self._lines)}" if self._lines else ""

    def add(self, piece: bytes) -> None:
        """Take what was printed, whole lines at a time: a secret must not stand in two pieces."""
        lines, end, self._begun = (self._begun + piece).rpartition(b"\n")
        if end:
            self._take(lines)
        if len(self._begun) > LINE_BYTES:
            # Masked before it is cut; what of a secret has yet to come is in the part cut off.
            self._begun = self._masked(self._begun)[: LINE_BYTES // 2]

    def close(self) -> None:
        """Take the last line, though it has no end."""
        if self._begun:
            self._take(self._begun)
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _take(self, lines: bytes) -> None:
        lines = self._masked(lines)
        for line in lines[-LINE_BYTES:].decode(errors="replace").split("\n")[-LAST_LINES:]:
            if line.strip():
                self._lines.append(line.strip()[-LINE_SHOWN:])
        self._write(lines + b"\n")

    def _masked(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, b"***")
        return text

    def _write(self, text: bytes) -> None:
        if self._log is None or self._left <= 0:
            return
        self._left -= len(text)
        with suppress(OSError):  # a full disk keeps nobody from a backup
            os.write(self._log, text if self._left > 0 else b"--- more was printed\n")


def _drain(process: _Process, output: _Output) -> None:
    with suppress(OSError, SourceError, ValueError):
        for piece in process.output():
            output.add(piece)


def _opened(log: str | None) -> int | None:
    if log is None:
        return None
    try:
        os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
