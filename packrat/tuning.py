"""Settings of the interpreter and the C library, with a measured benefit.

Figures: `docs/performance.md#interpreter-and-allocator`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

GARBAGE_OBJECTS = 200_000
"""New objects after which Python looks for cycles. Items form none, and the up to 170,000 objects
of imports last: with the default of 700, the search takes an eighth of a short command's time."""
SWITCH_SECONDS = 0.0005
"""Time that a thread may hold the interpreter lock. Python's default of 5 ms slows network threads,
which release the lock at each system call, to a third of their speed."""
M_ARENA_MAX = -8
"""Option of mallopt(3)."""


def tune() -> None:
    """Apply all settings to this process; call it before any thread starts."""
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    sys.setswitchinterval(SWITCH_SECONDS)
    # With glibc's heap for each thread, buffers that pass between threads take a fifth more memory,
    # and a restore takes a twentieth more time.
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
