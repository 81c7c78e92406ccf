"""What the C library and the kernel are asked for that Python has no words for."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8
"""Of mallopt(3)."""
SET_PDEATHSIG = 1
"""Of prctl(2)."""


def share_one_heap() -> None:
    """Let all threads of this process share one heap.

    With a heap for each, as glibc has it, the buffers that pass from thread to thread take a fifth
    more memory, and restoring takes a twentieth more time (measured).
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give back what is free and kept for later, such as the buffers of an index."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def die_with_parent(number: int) -> None:
    """Let the kernel send this process a signal when its parent is gone."""
    ctypes.CDLL(None).prctl(SET_PDEATHSIG, number)
