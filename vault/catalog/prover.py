"""Prover of archives: one way to prove stored bytes, at three depths.

`verify`, `confirm` and `catch_up` differ only in how much they read and in what they compare it
with. An archive that is proven by itself may be a base: what it refers to need not exist.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from vault.archive.format import FIRST_SEGMENT
from vault.catalog.catalog import open_archive
from vault.errors import Damaged
from vault.store.base import never

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.store.base import Check, Store, Stored

    Random = Callable[[int], bytes]
    """n -> n random bytes."""
    Step = Callable[[int], None]
    """Callback for the bytes that have passed since its last call; may raise to end the work."""

SAMPLES = 3
"""Frames of an archive that are read at the lowest depth."""


class Depth(StrEnum):
    """Share of an archive that is read besides both ends."""

    SAMPLES = "samples"
    """A few random frames; a verification reads the index as well."""
    FRAMES = "frames"
    """Every frame: each authenticates itself and its position."""
    CHUNKS = "chunks"
    """Every frame, and each chunk that a backup refers to is compared with its id."""


def prove_stored(
    destination: Store,
    service: str,
    one: Stored,
    keys: Keys,
    step: Step,
    at: str = "",
    check: Check = never,
) -> None:
    """Read every frame of an archive, whose file is called `at` until it is published.

    Raises Damaged, NotThere, Away, WrongKey.
    """
    archive = open_archive(destination, service, one.name, keys, at, check=check)
    prove_archive(archive, one.size, Depth.FRAMES, step=step)


def prove_archive(
    archive: Archive,
    size: int,
    depth: Depth,
    *,
    random: Random = os.urandom,
    step: Step = lambda _: None,
) -> None:
    """Prove an opened archive by itself; raises Damaged, NotThere, Away.

    `size` is its expected number of bytes.
    """
    if archive.size != size:
        raise Damaged(archive.where, f"has {archive.size:,} bytes, and should have {size:,}")
    for number in frames_to_read(archive, depth, random):
        step(archive.position(number)[1])
        archive.any_frame(number)


def frames_to_read(
    archive: Archive, depth: Depth, random: Random, among: Collection[int] | None = None
) -> list[int]:
    """Return the frame numbers to read, in the order of the file; raises Damaged for a bad table.

    With `among`, only these are considered.
    """
    count = len(archive.frames)
    numbers = list(range(FIRST_SEGMENT, FIRST_SEGMENT + count)) if among is None else sorted(among)
    if depth is Depth.SAMPLES and numbers:
        picks = [int.from_bytes(random(4)) % len(numbers) for _ in range(SAMPLES)]
        numbers = [numbers[pick] for pick in sorted(set(picks))]
    return sorted(numbers, key=archive.position)
