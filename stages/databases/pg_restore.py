"""Proof of a dump of PostgreSQL: the `pg_restore` of this machine reads it through.

A dump comes from a service whose user is not trusted, so the program runs as nobody, with little
memory, with no variable of Packrat's environment, and without a shell.
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import shutil
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stages.databases.proof import NoProgram, NotProven, UnsoundDump
from stages.service.account import USUAL_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = "pg_restore"
INSTALL = "apt install postgresql-client"
NOBODY = 65534
STALL_SECONDS = 60.0
"""Time in which the program must take some of a dump, or end."""
CHECK_SECONDS = 0.25
MEMORY_BYTES = 4 << 30
"""More than a sound dump needs; a length in it that is wrong may ask for any amount."""
SAID_BYTES = 4096
LINE_SHOWN = 300
OUT_OF_MEMORY = "out of memory"
OWN_LIMITS = re.compile(r"unsupported version|not supported")
"""Errors that say nothing about the dump, for example because it is of a newer PostgreSQL."""


def find_pg_restore() -> str:
    """Return the path of the program; raises NoProgram."""
    if found := shutil.which(PROGRAM):
        return found
    raise NoProgram(f"there is no {PROGRAM} on this machine", INSTALL)


def read_through(pieces: Iterator[bytes], check: Callable[[], None]) -> None:
    """Let `pg_restore` read a dump, and discard the SQL that it prints.

    `check` is called several times a second, and may raise to end it. Raises UnsoundDump, and
    NotProven if the program could not judge.
    """
    process = _start(find_pg_restore())
    said = b""
    try:
        for piece in pieces:
            check()
            if not _feed(process, piece, check):
                break  # it has ended: its status says why
        assert process.stdin
        with suppress(OSError):
            process.stdin.close()
        said = _end(process, check)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe:
                with suppress(OSError):
                    pipe.close()
    if process.returncode:
        raise _error(process.returncode, said.decode(errors="replace"))


def _start(program: str) -> subprocess.Popen[bytes]:
    """Start the program with a pipe that does not block."""
    root = os.geteuid() == 0
    try:
        process = subprocess.Popen(  # noqa: S603
            [program, "--file=/dev/null"],
            cwd="/",
            env={"PATH": USUAL_PATH, "LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
    except OSError as error:
        raise NotProven(f"{program} does not start: {error.strerror}", INSTALL) from error
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError):  # it may have ended
            resource.prlimit(process.pid, what, (most, most))
    assert process.stdin
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _feed(process: subprocess.Popen[bytes], piece: bytes, check: Callable[[], None]) -> bool:
    """Send some bytes; return False if the program takes no more. Raises NotProven."""
    assert process.stdin
    rest = memoryview(piece)
    limit = time.monotonic() + STALL_SECONDS
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        while rest:
            check()
            if ready.select(CHECK_SECONDS):
                try:
                    rest = rest[process.stdin.write(rest) or 0 :]
                except BrokenPipeError:
                    return False
                limit = time.monotonic() + STALL_SECONDS
            _require_progress(limit)
    return True


def _end(process: subprocess.Popen[bytes], check: Callable[[], None]) -> bytes:
    """Wait for the end of the program; return the end of what it has said. Raises NotProven."""
    assert process.stderr
    said = b""
    limit = time.monotonic() + STALL_SECONDS
    with selectors.DefaultSelector() as ready:
        ready.register(process.stderr, selectors.EVENT_READ)
        while True:
            check()
            if ready.select(CHECK_SECONDS):
                if not (more := process.stderr.read(SAID_BYTES)):
                    break
                said = (said + more)[-SAID_BYTES:]
            _require_progress(limit)
    while process.poll() is None:
        check()
        _require_progress(limit)
        time.sleep(CHECK_SECONDS / 10)
    return said


def _require_progress(limit: float) -> None:
    if time.monotonic() > limit:
        raise NotProven(
            f"{PROGRAM} made no progress for {STALL_SECONDS:.0f} s", f"try {PROGRAM} by hand"
        )


def _error(status: int, said: str) -> UnsoundDump | NotProven:
    lines = [line.strip()[:LINE_SHOWN] for line in said.splitlines() if line.strip()]
    own = (line for line in lines if line.startswith(f"{PROGRAM}:") or line == OUT_OF_MEMORY)
    [first, *_] = [*own, ""]
    text = first.removeprefix(f"{PROGRAM}:").strip().removeprefix("error:").strip()
    if text and status > 0 and not OWN_LIMITS.search(said):
        return UnsoundDump(text)
    what = text or (lines[-1] if lines else f"ended with status {status}")
    return NotProven(
        f"{PROGRAM} cannot judge: {what}", "install the client programs of the server's version"
    )
