"""Terminal of 80 by 24, as a person uses it."""

import re
import signal
import sys
from typing import Any

import pexpect

from tests.helpers.house import House

SIZE = (24, 80)


def terminal(house: House, *words: str, timeout: float = 60) -> Any:
    """Start packrat on a terminal; return the child, which is read with `expect`."""
    arguments = ["-m", "packrat", "-c", str(house.config_file), *words]
    return pexpect.spawn(
        sys.executable,
        arguments,
        dimensions=SIZE,
        encoding="utf-8",
        timeout=timeout,
        # A background job of a shell ignores Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def plain(text: str) -> str:
    """Return the written text, frame by frame, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def status(child: Any) -> int:
    """Wait for the end; return the exit status."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)
