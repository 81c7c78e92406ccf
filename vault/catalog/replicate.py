"""Replication: copy a proven archive to where it is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.catalog.prover import prove_stored
from vault.errors import Damaged
from vault.store.base import never

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.catalog.prover import Step
    from vault.store.base import Check, Store, Stored


def copy_archive(
    source: Store,
    destination: Store,
    service: str,
    one: Stored,
    keys: Keys,
    step: Step,
    check: Check = never,
) -> None:
    """Copy an archive, prove the replica, then publish it: damage must not spread.

    A damaged archive of the same name is replaced atomically. Raises what `prove_stored` raises.
    """
    if one.name in [other.name for other in destination.files(service, check)]:
        # S3 publishes before the file can be read back: a damaged source must not replace a file
        # that may be readable.
        prove_stored(source, service, one, keys, _only_check(step), check=check)
    try:
        taken = 0
        parts = source.parts(service, one.name, one.size, check)
        for so_far in destination.write(service, one.name, parts, check):
            step(so_far - taken)
            taken = so_far
        destination.commit(
            service,
            one.name,
            lambda at: prove_stored(destination, service, one, keys, _only_check(step), at, check),
            check,
        )
    except BaseException as error:
        destination.discard(service, one.name)
        if isinstance(error, Damaged):  # where? if the source itself is damaged, name the source
            prove_stored(source, service, one, keys, _only_check(step), check=check)
        raise


def _only_check(step: Step) -> Step:
    """Return a step that only checks for cancellation: these bytes were counted when sent."""
    return lambda _: step(0)
