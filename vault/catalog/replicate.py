"""Replication: copy a proven archive to where it is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.catalog.prover import prove_stored
from vault.store.transfer import Copy

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.catalog.prover import Step
    from vault.store.base import Destination, Stored


def copy_archive(
    source: Destination,
    destination: Destination,
    service: str,
    one: Stored,
    keys: Keys,
    step: Step,
) -> None:
    """Copy an archive, prove the copy, then publish it: damage must not spread.

    A damaged archive of the same name is replaced atomically. Raises what `prove_stored` raises.
    """
    copy = Copy(source, service, one.name, one.size)
    if one.name in [other.name for other in destination.files(service)]:
        # S3 publishes before it can be read back: what rotted must not replace what may be read.
        prove_stored(source, service, one, keys, _only_check(step))
    try:
        taken = 0
        for so_far in destination.receive(service, one.name, copy, copy.ranges()):
            step(so_far - taken)
            taken = so_far
        destination.publish(
            service,
            one.name,
            lambda at: prove_stored(destination, service, one, keys, _only_check(step), at),
        )
    except BaseException:
        destination.discard(service, one.name)
        raise


def _only_check(step: Step) -> Step:
    """Only check whether to go on: what is read back was counted when it was sent."""
    return lambda _: step(0)
