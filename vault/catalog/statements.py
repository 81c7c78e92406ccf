"""Statements at a destination: read one, publish one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.archive.reader import again_if_damaged
from vault.archive.statement import FILE_MOST, open_statement
from vault.errors import Damaged
from vault.store.base import never
from vault.store.upload import in_memory

if TYPE_CHECKING:
    from vault.archive.keys import Keys
    from vault.archive.statement import Statement
    from vault.store.base import Check, Store


def read_statement(
    store: Store, service: str, name: str, keys: Keys, at: str = "", check: Check = never
) -> tuple[Statement, bytes]:
    """Return a statement and the bytes of its file, which has the name `at` if that is given.

    Bytes that fail authentication are requested again. Raises Damaged, WrongKey, NotThere, Away.
    """

    def attempt() -> tuple[Statement, bytes]:
        data = store.read(service, at or name, 0, FILE_MOST + 1, check)
        return open_statement(data, name, keys, f"{store.name}:{service}/{name}"), data

    return again_if_damaged(attempt)


def publish_statement(
    store: Store, service: str, name: str, data: bytes, keys: Keys, check: Check = never
) -> None:
    """Write a statement, read it back, then give it its name.

    A damaged one of the same name is replaced. Raises what `read_statement` raises.
    """

    def prove(at: str) -> None:
        if read_statement(store, service, name, keys, at, check)[1] != data:
            raise Damaged(f"{store.name}:{service}/{name}", "was not stored as it was written")

    try:
        for _ in store.write(service, name, [in_memory(data)], check):
            pass
        store.commit(service, name, prove, check)
    except BaseException:
        store.discard(service, name)
        raise
