"""Deletion of forgotten archives, also at destinations that are away at first.

`state_dir/forget/SERVICE.json` records what is to be deleted, and where that is not done yet. It is
written before the first statement, so a killed command is finished by the same command, and a
destination that was away by the first run after it has returned.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import msgspec

from packrat.errors import Locked, Unusable
from packrat.runs.lock import service_lock
from packrat.text.report import bytes_text, count_text
from stages.state_file import read_state, write_state
from vault.archive.statement import Statement, seal_statement
from vault.catalog.cache import location
from vault.catalog.catalog import Catalog, Listed
from vault.catalog.contained import contained
from vault.catalog.forgotten import take_out_forgotten
from vault.catalog.statements import publish_statement
from vault.errors import NotThere, VaultError
from vault.store.base import Store, Stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from packrat.program import Program
    from vault.archive.keys import Keys

FOLDER = "forget"


class Forgetting(msgspec.Struct, frozen=True):
    """Archives of a service that somebody decided to delete."""

    service: str
    statements: tuple[Statement, ...] = ()
    """Statements that name them."""
    names: tuple[str, ...] = ()
    """Files of those that no statement can name: locked or unreadable archives."""
    owed: tuple[str, ...] = ()
    """Destinations that may still have some, as `location` identifies them."""

    def mark(self, catalogs: Collection[Catalog]) -> None:
        """Set the archives aside in catalogs, as the published statements will."""
        for catalog in catalogs:
            for one in self.statements:
                catalog.statements.append(Listed(Stored(one.name, 0), statement=one))
        take_out_forgotten(catalogs)

    def to_delete(self, catalog: Catalog) -> list[Listed]:
        """Return the archives to delete from a marked catalog, newest first.

        So what is left after an interruption still has all that it refers to.
        """
        named = [item for item in catalog.listed if item.stored.name in self.names]
        others = [one for one in catalog.backups if one not in named]
        needed = {other.id for one in others if one.summary for other in one.summary.archives}
        named = [one for one in named if not (one.summary and one.summary.id in needed)]
        both = [*catalog.forgotten, *named]
        return sorted(both, key=lambda item: item.stored.name, reverse=True)

    def publish(self, catalog: Catalog, keys: Keys) -> None:
        """Publish the statements at a destination that has archives; raises VaultError."""
        for one in self.statements if catalog.listed or catalog.forgotten else ():
            data = seal_statement(one, keys)
            with contained(catalog.destination):
                publish_statement(catalog.destination, self.service, one.name, data, keys)

    def delete(self, catalog: Catalog, program: Program) -> Iterator[Stored]:
        """Delete the archives from a marked catalog, and yield each; raises VaultError."""
        store, deleted = catalog.destination, self.to_delete(catalog)
        for item in deleted:
            # First: a killed command must not leave a cache that misses these archives.
            program.cache.deleted(store, self.service, item.stored)
            id_ = item.summary.id if item.summary else ""
            named = item.stored.name, id_
            program.record.drop(self.service, store.name, [named], "forgotten")
            with contained(store), suppress(NotThere):
                store.delete(self.service, item.stored.name)
            yield item.stored
        if all(item in deleted for item in catalog.listed):
            with contained(store):
                store.clean(self.service)

    def done_at(self, store: Store) -> Forgetting:
        """Return the record after everything was deleted at a destination."""
        owed = tuple(place for place in self.owed if place != location(store))
        return msgspec.structs.replace(self, owed=owed)

    def save(self, state_dir: str) -> None:
        """Write the record, or delete it if nothing is owed; raises Unusable."""
        path = _path(state_dir, self.service)
        try:
            if not self.owed:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                return
            write_state(path, self)
        except OSError as error:
            raise Unusable(
                f"cannot record what is to be deleted, {path}: {error.strerror}",
                "nothing is deleted without it; make room, or correct state_dir",
            ) from error


def recorded(state_dir: str, service: str) -> Forgetting | None:
    """Return the record of a service, if there is a readable one."""
    with suppress(OSError, msgspec.MsgspecError):
        return read_state(_path(state_dir, service), Forgetting)
    return None


def pending(state_dir: str) -> list[str]:
    """Return the services that have records."""
    with suppress(OSError):
        files = sorted(os.listdir(os.path.join(state_dir, FOLDER)))
        return [name.removesuffix(".json") for name in files if name.endswith(".json")]
    return []


def settle(program: Program, stores: Collection[Store], held: str = "") -> list[str]:
    """Delete at destinations that have returned what was forgotten while they were away.

    Returns a sentence for each. `held` is the service whose lock the caller holds.
    """
    said: list[str] = []
    state_dir = program.state_dir
    for service in pending(state_dir):
        lock = service_lock(state_dir, service, time.time())
        with suppress(Locked), nullcontext() if service == held else lock:
            record = recorded(state_dir, service)
            for store in stores if record else ():
                if record and location(store) in record.owed:
                    with suppress(VaultError):
                        deleted = _carry_out(record, store, program)
                        record = record.done_at(store)
                        record.save(state_dir)
                        if deleted:
                            said.append(f"{service}: {_text(deleted)} at {store.name}")
    return said


def _carry_out(record: Forgetting, store: Store, program: Program) -> list[Stored]:
    catalog = program.cache.catalog(store, record.service, program.keys)
    record.publish(catalog, program.keys)
    record.mark([catalog])
    return list(record.delete(catalog, program))


def _text(deleted: list[Stored]) -> str:
    size = bytes_text(sum(one.size for one in deleted))
    return f"deleted {count_text(len(deleted), 'forgotten archive')}, {size},"


def _path(state_dir: str, service: str) -> str:
    return os.path.join(state_dir, FOLDER, f"{service}.json")
