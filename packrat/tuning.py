"""Settings of the interpreter and of the C library that are measured to pay.

Figures: `docs/performance.md#interpreter-and-allocator`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

GARBAGE_OBJECTS = 200_000
"""New objects after which Python looks for cycles. Items form none, and what is imported, up to
170,000 objects, stays: at the default of 700 an eighth of a short command's time goes there."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the others. Python's 5 ms slow the threads that
talk to a network, which release it at each system call, to a third of their speed."""
M_ARENA_MAX = -8
"""Of mallopt(3)."""


def tune() -> None:
    """Apply all settings to this process; before it starts threads."""
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    sys.setswitchinterval(SWITCH_SECONDS)
    # With a heap for each thread, as glibc has it, the buffers that pass from thread to thread take
    # a fifth more memory, and restoring takes a twentieth more time.
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def freeze() -> None:
    """Keep Python from looking for cycles at exit, which would be a fifth of a short command."""
    gc.freeze()
