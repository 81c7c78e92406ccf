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

    from packrat.program import Program
    from vault.archive.keys import Keys
    from vault.archive.lineage import Says
    from vault.catalog.catalog import Catalog


def make_statements(
    program: Program,
    service: str,
    line: str,
    says: Says,
    archives: Sequence[str],
    now: float,
    text: str = "",
) -> list[Statement]:
    """Return statements about archives, given by their ids; one holds a limited number."""
    return [
        Statement(
            id=os.urandom(16).hex(),
            service=service,
            host=program.host,
            line=line,
            time=stamp(now),
            says=says,
            archives=list(archives[first : first + ARCHIVES_SAID]),
            text=text,
        )
        for first in range(0, len(archives), ARCHIVES_SAID)
    ]


def publish_statements(
    catalogs: Sequence[Catalog], keys: Keys, statements: Iterable[Statement]
) -> tuple[list[str], list[VaultError]]:
    """Publish statements at all destinations of some catalogs.

    Return the destinations that have them, and the errors of the others; catch-up brings them
    there. Raises ValueError for a text that cannot be stored.
    """
    published, failed = dict[str, None](), list[VaultError]()
    for statement in statements:
        data = seal_statement(statement, keys)
        for catalog in catalogs:
            store = catalog.destination
            try:
                publish_statement(store, statement.service, statement.name, data, keys)
                published[store.name] = None
            except VaultError as error:
                failed.append(error)
    return list(published), failed
