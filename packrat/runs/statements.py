"""Statements about archives, published at every destination that answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vault.archive.format import stamp
from vault.archive.ranges import ARCHIVES_SAID
from vault.archive.statement import Statement, seal_statement
from vault.catalog.statements import publish_statement
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vault.archive.keys import Keys
    from vault.archive.lineage import Says
    from vault.catalog.catalog import Catalog


def publish_statements(
    catalogs: Iterable[Catalog],
    keys: Keys,
    host: str,
    line: str,
    says: Says,
    archives: Sequence[str],
    now: float,
    text: str = "",
) -> tuple[list[str], list[VaultError]]:
    """Publish what is said about archives, given by their ids.

    Return the destinations that have it, and the errors of the others; catch-up brings it there.
    Raises ValueError for a text that cannot be stored.
    """
    places, told, failed = list(catalogs), dict[str, None](), list[VaultError]()
    for first in range(0, len(archives), ARCHIVES_SAID):
        statement = Statement(
            id=os.urandom(16).hex(),
            service=places[0].service if places else "",
            host=host,
            line=line,
            time=stamp(now),
            says=says,
            archives=list(archives[first : first + ARCHIVES_SAID]),
            text=text,
        )
        data = seal_statement(statement, keys)
        for catalog in places:
            store = catalog.destination
            try:
                publish_statement(store, catalog.service, statement.name, data, keys)
                told[store.name] = None
            except VaultError as error:
                failed.append(error)
    return list(told), failed
