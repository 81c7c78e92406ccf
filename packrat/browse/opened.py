"""Backups of a service one after the other, opened ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from engine.pool import in_order
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vault.archive.tree import Tree
    from vault.browse import PackratFileSystem

OPENED_AHEAD = 8
"""Backups that are opened at the same time."""


def opened_ahead(
    files: PackratFileSystem, service: str, backups: Iterable[str]
) -> Iterator[tuple[str, Callable[[], Tree]]]:
    """Yield each backup with a function that returns its tree, or raises VaultError."""

    def attempt(name: str) -> Future[Tree]:
        done: Future[Tree] = Future()
        try:
            done.set_result(files.tree(service, name))
        except VaultError as error:
            done.set_exception(error)
        return done

    with ThreadPoolExecutor(OPENED_AHEAD) as threads:
        opened = in_order(threads, attempt, backups, OPENED_AHEAD)
        for name, tree in zip(backups, opened, strict=True):
            yield name, tree.result
