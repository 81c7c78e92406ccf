"""Apply retention now, or say what would go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from packrat.errors import Exit
from packrat.runs.lock import service_lock
from packrat.text.report import as_json as print_json
from packrat.text.report import bytes_text, count_text, warn
from vault.catalog.catalog import Catalog, look_in_spool
from vault.catalog.retention import doomed, incomplete, shrunk, still_owed
from vault.errors import VaultError
from vault.store.local import Local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packrat.program import Program
    from vault.catalog.catalog import Held


def prune(program: Program, service: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Delete, or with `dry_run` name, what no kept backup needs; gives the exit status."""
    services = program.services([service]) if service else list(program.config.services)
    rows = []
    status = Exit.DONE
    for name in services:
        with service_lock(program.config.state_dir, name, time.time()):
            for catalog, old in prunable(program, name):
                if isinstance(old, VaultError):
                    warn(str(old))
                    status = Exit.PARTIAL
                    continue
                for held in old:
                    if not dry_run:
                        catalog.destination.delete(name, held.stored.name)
                        program.cache.deleted(catalog.destination, name, held.stored)
                    rows.append((name, catalog.destination.name, held))
    if as_json:
        print_json(
            [
                {
                    "service": name,
                    "destination": destination,
                    "archive": held.stored.name,
                    "bytes": held.stored.size,
                }
                for name, destination, held in rows
            ]
        )
        return status
    for _, destination, held in rows:
        what = "would delete" if dry_run else "deleted"
        print(f"{destination}: {what} {held.stored.name} ({bytes_text(held.stored.size)})")
    total = bytes_text(sum(held.stored.size for _, _, held in rows))
    print(f"{count_text(len(rows), 'archive')}, {total}" if rows else "nothing to delete")
    return status


def prunable(
    program: Program, service: str, coming: int = 0
) -> Iterator[tuple[Catalog, list[Held] | VaultError]]:
    """Give each destination's catalog with what may go of it, or why that is not known."""
    config = program.config
    keep = config.retention_of(config.services[service])
    destinations = program.destinations(service)
    found, failed = program.cache.catalogs(destinations, service, program.keys)
    spool = Local("spool", config.spool_path)
    waiting = look_in_spool(Catalog(spool, service), program.keys)
    for name, destination in destinations.items():
        if name in failed:
            yield Catalog(destination, service), failed[name]
            continue
        own = found[name]
        others = [waiting, *(other for key, other in found.items() if key != name)]
        if own.gone:
            yield own, VaultError(incomplete(name, own.gone))
        elif own.backups and shrunk(own.backups[-1]):
            yield own, VaultError(f"no old backup goes from {name}: the newest one has shrunk")
        else:
            owed = still_owed(own, others, keep)
            yield own, doomed(own, keep, config.host, owed, coming)
