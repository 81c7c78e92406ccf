"""What is only read of a folder behind SSH: its list, and ranges of its files, over `ssh`.

asyncssh takes five seconds of a core for each gigabyte that it reads, and a third of a second until
the first (measured); OpenSSH's `ssh` takes one, of another core. So where this system has that, and
it needs no more than a key file and known hosts, SFTP is spoken here, through its pipes. What is
not simply answered, sshfs asks again: it knows passwords, other host keys, and what a refusal is.

Source: draft-ietf-secsh-filexfer-02, the version 3 that all servers speak; and of OpenSSH's own
extensions, `limits@openssh.com`.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import threading
from contextlib import suppress
from functools import partial
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, TYPE_CHECKING
from weakref import finalize

from vault.store.plain import Absent, Connections, NotSimple
from vault.store.sftp import FAST_CIPHERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, OPENDIR, READDIR, EXTENDED = 3, 4, 5, 11, 12, 200
STATUS, HANDLE, DATA, NAME, EXTENDED_REPLY = 101, 102, 103, 104, 201
END, NO_SUCH_FILE = 1, 2
"""The status behind the last byte, or the last name; and that of what is not there."""
TO_READ = struct.pack(">II", 1, 0)
SIZE, OWNER, MODE, TIMES, MORE = 1, 2, 4, 8, 1 << 31
"""What a file's attributes may begin to say."""

LIMITS = b"limits@openssh.com"
READ_LEAST, READ_MOST = 32 << 10, 256 << 10
"""In bytes: what every server gives in one answer, and what is asked for where it says so."""
ANSWER_MOST = 1 << 20
PIPE_BYTES = 1 << 20
"""So that `ssh` and we wake each other up less often than by the usual 64 KiB."""
ASKED_AT_ONCE = 64
"""So that we never wait to ask while the server waits to answer."""
OPTIONS = (
    "BatchMode=yes",
    "CheckHostIP=no",
    f"Ciphers={FAST_CIPHERS}",
    "ConnectTimeout=5",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "KexAlgorithms=^curve25519-sha256,curve25519-sha256@libssh.org",
    "LogLevel=QUIET",
    "PreferredAuthentications=publickey",
    "ServerAliveInterval=5",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
)
"""It trusts whom sshfs would, and leaves a silent server sooner; sshfs, which asks again, waits."""


def ssh_command(
    host: str, port: int, username: str, key_file: str, known_hosts: Sequence[str]
) -> list[str] | None:
    """Give the command that connects to a server's SFTP; None where there is no `ssh`, or no way.

    Nothing is read but these files: neither the user's configuration of SSH, nor the system's.
    """
    program = shutil.which("ssh")
    files = [key_file, *known_hosts]
    if program is None or any({*file} & {*'"\\$'} for file in files):  # it reads these as more
        return None
    key, *known = (f'"{file.replace("%", "%%")}"' for file in files)
    chosen = (f"IdentityFile={key}", f"UserKnownHostsFile={' '.join(known)}", *OPTIONS)
    options = [part for option in chosen for part in ("-o", option)]
    server = ["-p", str(port), "-l", username, "-s", "--", host, "sftp"]
    return [program, "-F", "none", *options, *server]


_starting = threading.Lock()
"""No copy of this process is made while one begins: it would keep a pipe open that `Popen` waits
for."""
os.register_at_fork(
    before=_starting.acquire,
    after_in_parent=_starting.release,
    after_in_child=_starting.release,
)


class PlainSftp:
    """Reads from one server; several threads may, each by a connection.

    Raises Absent for what is not there, and whatever else goes wrong.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """`command` is connected to a server's SFTP by its pipes."""
        self._connections = Connections(partial(_Session, command))

    def expect(self) -> None:
        """Begin to connect."""
        self._connections.expect()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Give a range, cut off where the file ends."""
        return self._connections.ask(lambda session: session.read(path, offset, length))

    def listing(self, path: str) -> list[tuple[str, int, bool]]:
        """Give (name, bytes, whether it is a folder) of all in a folder."""
        return self._connections.ask(lambda session: session.listing(path))

    def close(self) -> None:
        """Hang up, also on who still waits."""
        for session in self._connections.all():
            session.close()


class _Session:
    """One connection; for one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        """Begin to connect; whoever asks first waits for it."""
        with _starting:
            ssh = Popen(  # noqa: S603 (what `ssh_command` gives)
                command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                pipesize=PIPE_BYTES,
                start_new_session=True,  # a Ctrl-C does not reach it; it ends when its pipes do
            )
        self.close = finalize(self, _hang_up, ssh)
        assert ssh.stdin
        assert ssh.stdout
        self._to: IO[bytes] = ssh.stdin
        self._from: IO[bytes] = ssh.stdout
        self._number = 3  # the version, and of whatever is asked then
        self._most = 0
        """Bytes that are read at once; 0 until the protocol is agreed on."""

    def _agree(self) -> None:
        if self._most:
            return
        [version] = self._send(INIT, [b""])
        found, kind, offered = self._answer()
        if (found, kind) != (version, VERSION):
            raise NotSimple
        self._most = READ_LEAST
        if LIMITS in offered:
            limits = self._ask(EXTENDED, _text(LIMITS), EXTENDED_REPLY)
            _, most, _, _ = struct.unpack(">QQQQ", limits)
            self._most = min(most or READ_MOST, READ_MOST)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Give a range."""
        self._agree()
        handle = self._ask(OPEN, _text(path) + TO_READ, HANDLE)
        parts: list[bytes] = []
        ended = False
        starts = range(offset, offset + length, self._most)
        for first in range(0, len(starts), ASKED_AT_ONCE):
            group = starts[first : first + ASKED_AT_ONCE]
            spans = [(start, min(self._most, offset + length - start)) for start in group]
            for span, given in zip(spans, self._parts(handle, spans), strict=True):
                part = self._whole(handle, *span, given)
                if part and ended:  # more, behind what was said to be the end
                    raise NotSimple
                ended = len(part) < span[1]
                parts.append(part)
        self._send(CLOSE, [handle])
        return b"".join(parts)

    def _whole(self, handle: bytes, start: int, size: int, part: bytes) -> bytes:
        """Ask for the rest of a part: a server may give less than it is asked for."""
        more = part
        while more and len(part) < size:
            [more] = self._parts(handle, [(start + len(part), size - len(part))])
            part += more
        return part

    def _parts(self, handle: bytes, spans: list[tuple[int, int]]) -> Iterator[bytes]:
        """Give what comes of ranges, which are asked for all at once; nothing behind the end."""
        answers = self._ask_all(READ, [handle + struct.pack(">QI", *span) for span in spans])
        for (kind, fields), (_, size) in zip(answers, spans, strict=True):
            if kind != DATA:
                _expect_end(kind, fields)
                yield b""
            elif len(fields) <= size:
                yield fields
            else:
                raise NotSimple

    def listing(self, path: str) -> list[tuple[str, int, bool]]:
        """Give what is in a folder."""
        self._agree()
        handle = self._ask(OPENDIR, _text(path), HANDLE)
        found: list[tuple[str, int, bool]] = []
        while True:
            [(kind, fields)] = self._ask_all(READDIR, [handle])
            if kind != NAME:
                _expect_end(kind, fields)
                self._send(CLOSE, [handle])
                return found
            found += _names(_Fields(fields))

    def _ask(self, kind: int, body: bytes, wanted: int) -> bytes:
        """Ask one thing, and give what is in the answer; raises NotSimple for another answer."""
        [(found, fields)] = self._ask_all(kind, [body])
        if found == STATUS and struct.unpack_from(">I", fields) == (NO_SUCH_FILE,):
            raise Absent
        if found != wanted:
            raise NotSimple
        return fields

    def _ask_all(self, kind: int, bodies: list[bytes]) -> list[tuple[int, bytes]]:
        """Ask, and give (kind, fields) of each answer, in the order of the questions."""
        numbers = self._send(kind, bodies)
        answers: dict[int, tuple[int, bytes]] = {}
        while len(answers) < len(numbers):
            number, kind, fields = self._answer()
            if number in numbers:  # not that something was closed, which nobody waits for
                answers[number] = kind, fields
        return [answers[number] for number in numbers]

    def _send(self, kind: int, bodies: list[bytes]) -> range:
        """Ask; gives the numbers of the questions."""
        numbers = range(self._number, self._number + len(bodies))
        self._number = numbers.stop
        for number, body in zip(numbers, bodies, strict=True):
            self._to.write(struct.pack(">IBI", 5 + len(body), kind, number) + body)
        self._to.flush()
        return numbers

    def _answer(self) -> tuple[int, int, bytes]:
        size, kind, number = struct.unpack(">IBI", self._take(9))
        size -= 5
        if not 0 <= size <= ANSWER_MOST:
            raise NotSimple
        if kind == DATA:  # without what is before the data: they are long, and copied once less
            size -= 4
            if struct.unpack(">I", self._take(4)) != (size,):
                raise NotSimple
        return number, kind, self._take(size)

    def _take(self, size: int) -> bytes:
        data = self._from.read(size)
        if len(data) < size:
            raise ConnectionError
        return data


class _Fields:
    """Takes the fields of an answer, one after the other; raises struct.error where it ends."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[int, ...]:
        """Give numbers of fixed sizes."""
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def text(self) -> bytes:
        """Give bytes of any length."""
        [size] = self.take(">I")
        [found] = struct.unpack_from(f"{size}s", self._data, self._at)
        self._at += size
        return bytes(found)


def _names(fields: _Fields) -> Iterator[tuple[str, int, bool]]:
    """Read (name, bytes, whether it is a folder) of several files."""
    [count] = fields.take(">I")
    for _ in range(count):
        name, _ = fields.text().decode(), fields.text()  # and the line that `ls -l` would print
        [said] = fields.take(">I")
        [size] = fields.take(">Q") if said & SIZE else [0]
        if said & OWNER:
            fields.take(">II")
        [mode] = fields.take(">I") if said & MODE else [0]
        if said & TIMES:
            fields.take(">II")
        for _ in range(2 * fields.take(">I")[0] if said & MORE else 0):
            fields.text()
        yield name, size, stat.S_ISDIR(mode)


def _text(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data


def _expect_end(kind: int, fields: bytes) -> None:
    """Raise NotSimple unless the answer is that there is no more."""
    if kind != STATUS or struct.unpack_from(">I", fields) != (END,):
        raise NotSimple


def _hang_up(ssh: Popen[bytes]) -> None:
    ssh.kill()
    ssh.wait()
    with suppress(OSError):  # of what could not be sent any more
        ssh.stdin.close()  # type: ignore[union-attr]
