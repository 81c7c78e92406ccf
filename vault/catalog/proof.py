"""Prove a whole archive, and bring a good one to where there is none, or a damaged one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vault.archive.format import FIRST_SEGMENT
from vault.catalog.catalog import open_archive
from vault.errors import Damaged
from vault.store.transfer import Copy

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.store.base import Destination, Stored

Step = Callable[[int], None]
"""Told how many bytes have passed since it was told last; may raise to end the work."""


def prove(
    destination: Destination, service: str, one: Stored, keys: Keys, step: Step, at: str = ""
) -> None:
    """Read every byte of an archive, which stands as file `at` when that is given.

    What it refers to need not be there: it may be a base that only lends some chunks.

    Raises Damaged, NotThere, Away, WrongKey.
    """
    archive = open_archive(destination, service, one.name, keys, at)
    if archive.size != one.size:
        raise Damaged(archive.where, f"has {archive.size} bytes, and should have {one.size}")
    for frame in range(len(archive.frames)):
        step(archive.frames[frame][1])
        archive.any_frame(frame + FIRST_SEGMENT)


def bring(
    source: Destination,
    destination: Destination,
    service: str,
    one: Stored,
    keys: Keys,
    step: Step,
) -> None:
    """Copy an archive, prove the copy, then publish it: damage must not spread.

    One that stands there under its name, damaged, is replaced at once by the good one. Raises what
    `prove` raises.
    """
    copy = Copy(source, service, one.name, one.size)
    if one.name in [other.name for other in destination.files(service)]:
        # S3 publishes before it can be read back: what rotted must not replace what may be read.
        prove(source, service, one, keys, _check(step))
    try:
        taken = 0
        for so_far in destination.receive(service, one.name, copy, copy.ranges()):
            step(so_far - taken)
            taken = so_far
        destination.publish(
            service, one.name, lambda at: prove(destination, service, one, keys, _check(step), at)
        )
    except BaseException:
        destination.discard(service, one.name)
        raise


def _check(step: Step) -> Step:
    """Only ask whether to go on: what is read back was counted when it was sent."""
    return lambda _: step(0)
