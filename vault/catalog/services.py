"""Services of which destinations hold archives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from vault.catalog.contained import contained
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vault.store.base import Store


def stored_services(stores: Collection[Store], considered: Callable[[str], bool]) -> list[str]:
    """Return the considered services of which any store lists archives, sorted.

    A store that does not answer lists none. Only folders with considered names are listed.
    """

    def ask(store: Store) -> list[str]:
        with suppress(VaultError), contained(store):
            names = [name for name in store.services() if considered(name)]
            return [name for name in names if store.archives(name)]
        return []

    with ThreadPoolExecutor(max(len(stores), 1)) as threads:
        return sorted({name for names in threads.map(ask, stores) for name in names})
