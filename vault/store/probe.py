"""Trial of a store: everything that a backup, a restore and a prune do, with a small file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vault.errors import NotThere, VaultError
from vault.store.upload import in_memory

if TYPE_CHECKING:
    from vault.store.base import Properties, Store

DATA_BYTES = 100_000
MIDDLE = 50_000, 1_000
"""Offset and length of the range that is read."""


def probe(store: Store, token: str) -> list[str]:
    """Try everything; return sentences on what the filesystem cannot do, and what that costs.

    Nothing is left behind. `token` makes the name of the file unique. Raises what the store raises.
    """
    name = f".packrat-{token}"
    data = (token.encode() * DATA_BYTES)[:DATA_BYTES]
    store.services()
    store.clean("", "")  # lists unfinished files, and deletes none
    try:
        _write(store, name, data)
        _write(store, name, data[::-1])  # a damaged archive is replaced in this way
        for _ in store.write("", name, [in_memory(data)]):
            pass
    except BaseException:
        with suppress(VaultError):  # what could not be written is the fault to report
            store.discard("", name)
        raise
    store.discard("", name)
    _compare(store, name, data[::-1])
    store.delete("", name)
    if name in [stored.name for stored in store.files("")]:
        raise store.fault("delete a file", "it is still listed", "ask who runs the server")
    store.free()
    return costs(store.properties)


def costs(properties: Properties) -> list[str]:
    """Return what a filesystem cannot do, and what that costs."""
    found = []
    if not (properties.atomic_rename or properties.hidden_until_commit):
        found.append(
            "it has no rename in one step: each new archive is copied on the server,"
            " and read back twice"
        )
    if not properties.streams_writes:
        found.append(
            "it cannot send while it writes: each new archive is first written whole"
            " to a temporary file on this machine (TMPDIR)"
        )
    if not properties.ranged_reads:
        found.append(
            "it cannot read a part of a file: whatever is restored, whole archives are downloaded"
        )
    return found


def _write(store: Store, name: str, data: bytes) -> None:
    for _ in store.write("", name, [in_memory(data)]):
        pass
    store.commit("", name, lambda at: _compare(store, at, data))


def _compare(store: Store, name: str, data: bytes) -> None:
    """Raise Away unless a file is listed, and reads back, as it was written."""
    action, hint = "read back a file", "look at its disk, or ask who runs the server"
    listed = {stored.name: stored.size for stored in store.files("")}
    if name not in listed:
        raise store.fault(action, "what was written is not listed", hint)
    offset, length = MIDDLE
    same = (
        listed[name] == store.size("", name) == len(data)
        and store.read("", name, 0, len(data)) == data
        and store.read("", name, offset, length) == data[offset : offset + length]
        and store.read("", name, len(data) - 10, 99) == data[-10:]
        and store.read("", name, len(data) + 10, 9) == b""
    )
    if not same:
        raise store.fault(action, "other bytes came back", hint)
    try:
        store.size("", f"{name}-absent")
    except NotThere:
        return
    raise store.fault(action, "it reports a file that was never written", hint)
