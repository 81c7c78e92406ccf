"""Program in a container whose whole output counts: nothing may be lost unnoticed."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stages.errors import NotReady, SourceError
from stages.service.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stages.facts import CommandLog
    from stages.service.docker import DockerEngine

HEADER = struct.Struct(">BxxxL")
"""Header of a frame of Docker's stream: 1 is standard output, 2 the error output; its length."""
STDOUT = 1
RECEIVE_BYTES = 1 << 18
CHECK_SECONDS = 0.25
STATUS_SECONDS = 10.0
"""Seconds for Docker to know the exit status after the end of the output."""
PID_DIGITS = 10
"""Longest process number. A container controls what it prints, so no more than this is kept of its
first line before the line end."""
ALONE_SECONDS = 600.0
"""Seconds for a program with input to end after the process that fed it was killed."""

# Docker's client may lose what arrives together with the answer's header, so the program waits for
# a line. The mark follows only a program that has succeeded: Docker ends a stream early without an
# error when it is restarted, for example.
SCRIPT = """{remark}
read -r _ || exit 1
echo $$
set -e
(
{script}
)
printf %s {mark}
"""
FED = "# packrat writes to this program"
"""First line of a script with input, by which others of the container know it."""


class ContainerProgram:
    """Shell script in a container, with its arguments, its input and its whole output."""

    def __init__(self, engine: DockerEngine, container: str, what: str, log: CommandLog) -> None:
        """Run nothing yet; `what` is its name in messages, for example `the dump of app`."""
        self._engine, self._name, self._what = engine, container, what
        self._log = log

    def run(
        self,
        script: str,
        arguments: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        check: Callable[[], None] = lambda: None,
        data: Iterable[bytes] | None = None,
    ) -> Iterator[bytes]:
        """Yield what the script prints; return normally only if it has succeeded.

        Args:
            script: For the container's `sh`. It must end with a command whose status counts.
            arguments: Its `$1`, `$2` and so on.
            environment: Variables with secrets. They are not visible in a list of processes.
            check: Called several times a second; what it raises ends the program.
            data: Its standard input, which is closed after it. Programs with input run one at a
                time in a container: one whose Packrat was killed ends first.

        Raises:
            SourceError: It failed, or its output was cut off.
        """
        if data is not None:
            self._wait_until_alone(check)
        mark = secrets.token_hex(16).encode()
        remark = "" if data is None else FED
        text = SCRIPT.format(remark=remark, script=script, mark=mark.decode())
        env = dict(environment or {})
        id_ = self._engine.begin(
            self._name, ["sh", "-c", text, "sh", *arguments], env, None, stdin=True
        )
        said = Output(self._log.file, f"{self._what}, {self._log.run}", env.values())
        stream = _Stream(self._engine.attach(id_, self._name), said, check)
        if data is not None and not stream.closes_input:
            stream.close()
            raise SourceError(
                f"{self._what} needs the Docker engine at {self._engine.where} without TLS or ssh",
                "run packrat on the machine of the engine",
            )
        feeder = threading.Thread(target=stream.feed, args=(data,), daemon=True)
        pid = 0
        try:
            feeder.start()
            pid = stream.process_number()
            yield from stream.until(mark)
            status = self._status(id_)
            if stream.unsent:
                raise stream.unsent
            if status or not stream.marked:
                raise self._failed(status, stream, said)
            pid = 0
        finally:
            stream.close()
            if pid:
                self._end(pid)
            feeder.join(1)
            said.close()

    def _wait_until_alone(self, check: Callable[[], None]) -> None:
        """Wait for the end of programs that lost their input when Packrat was killed.

        Docker counts a command as ended when its shell is, although what that started goes on.
        """
        limit = time.monotonic() + ALONE_SECONDS
        while any(FED in words for words in self._engine.commands(self._name)):
            if time.monotonic() > limit:
                raise NotReady(
                    f"{self._what} has to wait for an earlier one, which does not end",
                    f"docker restart {self._name} ends it; then repeat the command",
                )
            check()
            time.sleep(CHECK_SECONDS)

    def _status(self, id_: str) -> int | None:
        """Return the exit status after the end of the output; None if it still runs."""
        limit = time.monotonic() + STATUS_SECONDS
        while (status := self._engine.status(id_, self._name)) is None:
            if time.monotonic() > limit or not self._engine.inspect(self._name).running:
                return None
            time.sleep(0.02)
        return status

    def _failed(self, status: int | None, stream: _Stream, said: Output) -> SourceError:
        if status:
            why = f"failed with status {status}"
        elif stream.cut or status is None:
            why = "was cut off: Docker closed its output before the program ended"
        else:
            why = "ended without its mark"
        hint = f"check that container {self._name} is running, and try it by hand with docker exec"
        return SourceError(f"{self._what} {why}{said.last}", hint)

    def _end(self, pid: int) -> None:
        """End the program and what it has started, if it still runs."""
        kill = ["sh", "-c", f"kill -TERM -{pid}"]
        with suppress(SourceError):
            # Not for its output, whose stream Docker has been seen not to end.
            self._engine.detach(self._engine.begin(self._name, kill, {}, None), self._name)


def read_number(pieces: Iterator[bytes]) -> tuple[int, bytes]:
    """Read the process number, which is the first line; return it, and what has come after it.

    Without one, for example because the container's sh is not a shell, return 0 and everything.
    """
    begun = b""
    for piece in pieces:
        begun += piece
        if b"\n" in begun or len(begun) > PID_DIGITS:
            break
    line, end, rest = begun.partition(b"\n")
    if end and line.isdigit() and len(line) <= PID_DIGITS:
        return int(line), rest
    return 0, begun


class _Stream:
    """Docker's stream of one command: frames of its output, and its input the other way."""

    def __init__(self, connection: socket.socket, said: Output, check: Callable[[], None]) -> None:
        self._connection, self._said, self._check = connection, said, check
        connection.settimeout(CHECK_SECONDS)
        self._received = bytearray()
        self.marked = self.cut = False
        self.unsent: BaseException | None = None
        """Reason why the input was not sent to its end."""
        self._pending = b""
        self._frames = self._output()

    @property
    def closes_input(self) -> bool:
        """The input can be closed while the output goes on: not through TLS or ssh."""
        return type(self._connection) is socket.socket

    def feed(self, data: Iterable[bytes] | None) -> None:
        """Start the program, send its input, and close that."""
        try:
            self._send(b"go\n")
            for piece in data or ():
                self._send(piece)
        except OSError as error:
            # A program that ends early has its own message.
            self.unsent = None if isinstance(error, ConnectionError) else error
        except BaseException as error:  # noqa: BLE001 (raised by the thread that reads)
            self.unsent = error
        if self.closes_input:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    def _send(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            with suppress(TimeoutError):
                view = view[self._connection.send(view) :]

    def process_number(self) -> int:
        """Return the process number in the container, which is the first line; 0 without one."""
        number, self._pending = read_number(self._frames)
        return number

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield the standard output without the mark at its end."""
        held = self._pending
        for piece in self._frames:
            held += piece
            if len(held) > len(mark):
                yield held[: -len(mark)]
                held = held[-len(mark) :]
        self.marked = held.endswith(mark)
        yield held.removesuffix(mark)

    def _output(self) -> Iterator[bytes]:
        """Yield standard output as it arrives; note what is printed as an error."""
        while header := self._exactly(HEADER.size):
            kind, length = HEADER.unpack(header)
            while length:
                piece = self._exactly(min(length, RECEIVE_BYTES))
                if not piece:
                    return
                length -= len(piece)
                if kind == STDOUT:
                    yield piece
                else:
                    self._said.add(piece)

    def _exactly(self, count: int) -> bytes:
        """Return `count` bytes, none at the end of the stream; set `cut` if it ends in between."""
        while len(self._received) < count:
            self._check()
            try:
                piece = self._connection.recv(RECEIVE_BYTES)
            except TimeoutError:
                continue
            except OSError:
                piece = b""
            if not piece:
                self.cut = bool(self._received) or count != HEADER.size
                return b""
            self._received += piece
        found = bytes(self._received[:count])
        del self._received[:count]
        return found

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()
