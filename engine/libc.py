"""What the C library and the kernel are asked for that Python has no words for."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of mallopt(3)."""
KEPT_BYTES, MMAP_BYTES = 64 << 20, 32 << 20
SET_PDEATHSIG = 1
"""Of prctl(2)."""


def share_one_heap() -> None:
    """Let all threads of this process share one heap, which keeps some of what is freed.

    With a heap for each, as glibc has it, the buffers that pass from thread to thread take a fifth
    more memory, and restoring takes a twentieth more time; where each buffer of some MiB goes back
    to the kernel and comes anew, page by page, another twentieth (measured).
    """
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)


def give_back_memory() -> None:
    """Give back what is free and kept for later, such as the buffers of an index."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def die_with_parent(number: int) -> None:
    """Let the kernel send this process a signal when its parent is gone."""
    ctypes.CDLL(None).prctl(SET_PDEATHSIG, number)
