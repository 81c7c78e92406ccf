"""Commands of the program, run in this process: no interpreter starts, nothing is imported again.

A command that needs a process of its own (a signal, a terminal, a wrapper, its memory, the state
that the interpreter starts with) is started with `in_a_process`.
"""

import io
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from contextlib import (
    ExitStack,
    chdir,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from functools import cache
from unittest.mock import patch

import pytest
import typer.main

from packrat import cli
from packrat.runs import signals
from packrat.surroundings import UMASK
from stages import masking

PROGRAM = (sys.executable, "-m", "packrat")
_commands = cache(typer.main.get_command)  # Typer takes 40 ms to build them, at each start
Done = subprocess.CompletedProcess[str]


def packrat(
    *words: object,
    env: dict[str, str] | None = None,
    cwd: str | os.PathLike[str] = ".",
    together: bool = False,
    columns: int | None = None,
) -> Done:
    """Run a command as a new process would, without a terminal.

    `env` is added to the environment. With `together`, standard error goes to the same place as
    standard output, in the order in which a terminal shows them. With `columns`, both go to a
    terminal of that width.
    """
    arguments = ["packrat", *map(str, words)]
    said = [io.BytesIO(), io.BytesIO()]
    pipes = [io.TextIOWrapper(to, "utf-8", write_through=True) for to in said]
    out, err = pipes
    with ExitStack() as changed:
        if columns:
            out = err = changed.enter_context(_terminal(columns, said[0]))
        changed.callback(os.umask, os.umask(UMASK))
        for number in (signal.SIGTERM, signal.SIGINT):
            changed.callback(signal.signal, number, signal.getsignal(number))
        for target, name, value in (
            (typer.main, "get_command", _commands),
            (sys, "argv", arguments),
            (sys, "stdin", changed.enter_context(open(os.devnull))),
            (tempfile, "tempdir", None),
            (masking, "_hidden", ()),
            (masking, "_open", frozenset()),
        ):
            changed.enter_context(patch.object(target, name, value))
        changed.callback(signals._end_requested.clear)
        changed.enter_context(chdir(cwd))
        changed.enter_context(patch.dict(os.environ, env or {}))
        changed.enter_context(redirect_stdout(out))
        changed.enter_context(redirect_stderr(out if together else err))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    texts = (pipe.getvalue().decode() for pipe in said)
    return Done(arguments, int(ended.value.code or 0), *texts)


@contextmanager
def _terminal(columns: int, said: io.BytesIO) -> Iterator[io.TextIOWrapper]:
    """Open a terminal; at the end, what was written to it is in `said`."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST  # no carriage returns
    termios.tcsetattr(theirs, termios.TCSANOW, mode)

    def read() -> None:
        with suppress(OSError):  # the other end was closed
            while data := os.read(ours, 1 << 16):
                said.write(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with open(theirs, "w", encoding="utf-8") as stream:
            yield stream
    finally:
        reader.join()
        os.close(ours)


def in_a_process(
    *words: object, env: dict[str, str] | None = None, wrap: tuple[str, ...] = (), **more
) -> Done:
    """Run a command in a process of its own; `wrap` is the command line that starts it."""
    command = [*wrap, *PROGRAM, *map(str, words)]
    more = {"capture_output": True, "text": True, "env": {**os.environ, **(env or {})}} | more
    return subprocess.run(command, check=False, **more)
