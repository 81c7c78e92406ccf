"""`packrat forget`: delete a service that left the configuration, or single backups."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from packrat.errors import Exit, Interrupted, UsageError
from packrat.restore.match import described, made_times, match
from packrat.runs.forgetting import Forgetting, recorded
from packrat.runs.lock import service_lock
from packrat.runs.needed import require_replaceable
from packrat.runs.statements import make_statements
from packrat.text.report import bytes_text, count_text, print_json, say, table, warn
from specs.values import is_name
from stages.spool_folder import SpoolFolder
from vault.catalog.cache import location
from vault.catalog.forgotten import forgotten_ids
from vault.errors import NotThere, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packrat.program import Program
    from vault.catalog.catalog import Catalog, Listed
    from vault.store.base import Store


SHOWN = 3
"""Ids that are shown for each destination."""


class Scope(Struct, frozen=True):
    """Archives that may be deleted besides those of this host and key."""

    other_keys: bool = False
    other_hosts: bool = False

    def refusal(self, item: Listed, host: str) -> str:
        """Return why an archive is left, with the option that deletes it; "" if none is needed."""
        if item.locked:
            return "" if self.other_keys else "sealed under another key: --other-keys"
        if item.summary is None or item.summary.host == host or self.other_hosts:
            return ""
        return f"made by host {item.summary.host}: --other-hosts"


def forget(
    program: Program,
    service: str,
    backups: Sequence[str],
    scope: Scope,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Show what is deleted, ask for the name of the service, delete; return the exit status.

    PARTIAL if a destination does not answer: the first run after it has returned deletes there.
    """
    if not is_name(service):
        raise UsageError(f"{service!r} cannot be the name of a service")
    single = bool(backups) or service in program.config.services
    if single and not (backups or scope.other_keys):
        raise UsageError(
            f"{service!r} is in the configuration: remove it there first, or name the backups to"
            f" delete: packrat forget {service} BACKUP"
        )
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError("forget asks for the name of the service to be typed; in scripts: --yes")
    with service_lock(program.state_dir, service, time.time()):
        stores, keys = _used(program, service), program.keys
        found, away = program.cache.catalogs(stores, service, keys)
        if away and not found:
            raise next(iter(away.values()))
        for why in away.values():
            warn(str(why))
        spool = SpoolFolder(os.path.join(program.config.spool_path, service)).waiting(keys)
        there = [*found.values()]
        remembered = [program.cache.known(stores[name], service, keys) for name in away]
        every = [*there, spool, *remembered]
        names = _chosen(service, backups, scope, program, every)
        if single:
            require_replaceable(program, service, names, there)
        record = _record(program, service, names, every, stores.values())
        record.mark(every)
        _require_something(record, every, scope, program.host, away.values())
        if not as_json and any(map(record.to_delete, every)):
            _show(record, there, remembered)
        if not (as_json or single):
            _print_kept(record, there, scope, program.host)
        if not yes and any(map(record.to_delete, every)):
            _ask(service)
        record.save(program.state_dir)
        rows, failed = _delete(record, there, spool, program)
    for error in failed.values():
        warn(str(error))
    owed = [*away, *failed]
    if as_json:
        print_json({"service": service, "deleted": rows, "owed": owed})
    else:
        size = bytes_text(sum(row["bytes"] for row in rows))
        done = f"deleted {count_text(len(rows), 'archive')}, {size}"
        say(f"{service}: {done if rows else 'nothing is left to delete'}")
    for name in owed:
        warn(f"{name}: what it still has is deleted by the first run after it has returned")
    return Exit.PARTIAL if owed else Exit.DONE


def _used(program: Program, service: str) -> dict[str, Store]:
    """Return the destinations of a service, and others at which it was listed before."""
    return program.destinations(service) | {
        name: store
        for name, store in program.destinations().items()
        if program.cache.known(store, service, program.keys).names
    }


def _chosen(
    service: str, backups: Sequence[str], scope: Scope, program: Program, every: list[Catalog]
) -> set[str]:
    """Return the names of the archives to delete; raises NotThere, and UsageError for others'."""
    items: dict[str, Listed] = {}
    for item in [item for one in every for item in _all(one)]:
        if item.summary or item.stored.name not in items:  # a readable replica says whose it is
            items[item.stored.name] = item
    if not backups:
        only_locked = service in program.config.services
        return {
            name
            for name, item in items.items()
            if not scope.refusal(item, program.host) and (item.locked or not only_locked)
        }
    made, found = made_times(every), set[str]()
    for text in backups:
        name = match(sorted(items), service, text, made)
        if name is None and not any(id_.startswith(text) for id_ in forgotten_ids(every)):
            raise NotThere(
                f"there is no archive {text!r} of {service}",
                f"packrat list {service} --all shows them",
            )
        if name is not None:
            if refusal := scope.refusal(items[name], program.host):
                raise UsageError(f"{described(name, made)} is {refusal} deletes it as well")
            found.add(name)
    return found


def _all(catalog: Catalog) -> list[Listed]:
    return [*catalog.listed, *catalog.forgotten]


def _record(
    program: Program,
    service: str,
    names: set[str],
    every: list[Catalog],
    stores: Iterable[Store],
) -> Forgetting:
    """Return what is to be deleted, with what an interrupted command has left of it."""
    before = recorded(program.state_dir, service) or Forgetting(service)
    said = forgotten_ids(every) | {id_ for one in before.statements for id_ in one.archives}
    ids: defaultdict[str, set[str]] = defaultdict(set)
    unnamed = set(before.names)
    for item in [item for one in every for item in _all(one) if item.stored.name in names]:
        if item.summary is None:
            unnamed.add(item.stored.name)
        elif item.summary.id not in said:
            ids[item.summary.line].add(item.summary.id)
    now = time.time()
    statements = [
        statement
        for line, some in ids.items()
        for statement in make_statements(program, service, line, "forgotten", sorted(some), now)
    ]
    places = {*before.owed, *map(location, stores)}
    return Forgetting(
        service, (*before.statements, *statements), tuple(sorted(unnamed)), tuple(sorted(places))
    )


def _require_something(
    record: Forgetting, every: list[Catalog], scope: Scope, host: str, away: Iterable[VaultError]
) -> None:
    """Raise NotThere if there is nothing to delete, and nothing was deleted before; or Away."""
    if record.statements or record.names or forgotten_ids(every):
        return
    for error in away:
        raise error
    if left := {scope.refusal(item, host) for one in every for item in one.listed} - {""}:
        raise NotThere(
            f"nothing of {record.service} is deleted without an option",
            "; ".join(f"what is {why} deletes" for why in sorted(left)),
        )
    if any(one.listed for one in every):
        raise NotThere(
            f"no archive of {record.service} is sealed under another key",
            f"packrat list {record.service} --all shows all of them",
        )
    raise NotThere(
        f"no destination has an archive of {record.service}",
        "packrat list --all-services shows all services",
    )


def _show(record: Forgetting, there: list[Catalog], remembered: list[Catalog]) -> None:
    """Print what is deleted at each destination."""
    rows = []
    for one in (*there, *remembered):
        deleted = record.to_delete(one)
        size = bytes_text(sum(item.stored.size for item in deleted))
        ids = [item.stored.name.rpartition("-")[2][:8] for item in deleted[::-1]]
        note = ", ".join(ids[:SHOWN]) + ", …" * (len(ids) > SHOWN)
        if one in remembered:
            note = "does not answer: when it returns"
        rows.append([one.destination.name, f"{len(deleted):,}", size, note])
    say(f"To be deleted of {record.service}:")
    table(["AT", "ARCHIVES", "SIZE", "WHICH"], rows, right=["ARCHIVES", "SIZE"])


def _print_kept(record: Forgetting, there: list[Catalog], scope: Scope, host: str) -> None:
    """Print what stays at each destination, by reason."""
    for one in there:
        left = [item for item in one.listed if item not in record.to_delete(one)]
        reasons = Counter(scope.refusal(item, host) for item in left)
        for why, count in reasons.items():
            said = f"{why} deletes as well" if why else "needed by the others"
            say(f"{one.destination.name} keeps {count_text(count, 'archive')}: {said}")


def _ask(service: str) -> None:
    """Let the user type the name of the service; raises Interrupted for anything else."""
    print(f"This cannot be undone. Type {service} to delete: ", end="", file=sys.stderr, flush=True)
    try:
        typed = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typed = ""
    if typed != service:
        raise Interrupted("nothing was deleted")


def _delete(
    record: Forgetting, catalogs: list[Catalog], spool: Catalog, program: Program
) -> tuple[list[dict[str, Any]], dict[str, VaultError]]:
    """Publish the statements everywhere, then delete; return what, and what failed where."""
    rows: list[dict[str, Any]] = []
    failed: dict[str, VaultError] = {}
    for catalog in catalogs:
        try:
            record.publish(catalog, program.keys)
        except VaultError as error:
            failed[catalog.destination.name] = error
    for catalog in (*catalogs, spool):
        name = catalog.destination.name
        try:
            rows += [
                {"destination": name, "archive": one.name, "bytes": one.size}
                for one in record.delete(catalog, program)
            ]
        except VaultError as error:
            failed[name] = error
        if name not in failed:
            record = record.done_at(catalog.destination)
            record.save(program.state_dir)
    return rows, failed
