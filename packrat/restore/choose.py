"""Choice of the backup to restore, and of the nearest destination with all that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packrat.restore.match import described, made_times, match, newest_before, steps_back
from packrat.runs.catalogs import list_service
from packrat.text.alarms import alarm_text
from packrat.text.report import count_text
from vault.catalog.hosts import has_own, intruder, is_of
from vault.errors import Away, NotThere, VaultError, WrongKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from packrat.program import Program
    from vault.archive.keys import Keys
    from vault.archive.reader import Archive
    from vault.catalog.catalog import Catalog, Listed
    from vault.store.base import Store


@dataclass
class Chosen:
    """A chosen backup, open at one destination."""

    catalog: Catalog
    archive: Archive
    others: list[Catalog]
    """Destinations to fail over to, the nearest first."""


class OtherKey(WrongKey):
    """Chosen backup that is sealed under another key; its own password opens it."""

    def __init__(self, destination: Store, service: str, name: str) -> None:
        self.where = f"{destination.name}:{service}/{name}"
        super().__init__(
            f"{self.where} is sealed under another key",
            "restore, ls, cat and diff open it with its password, also by --password-file FILE",
        )
        self.destination, self.service, self.name = destination, service, name


def choose(
    program: Program,
    service: str,
    backup: str = "latest",
    source: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Chosen:
    """Find and open a backup at the nearest destination that has all that it needs.

    `backup` is a name, a prefix of an id, a time as people write it, `latest` or `latest~N`. A
    damaged backup is only chosen by name. Raises NotThere, Away, Damaged, OtherKey.
    """
    catalogs, failed = look(program, service, source, warn)
    latest = steps_back(backup) is not None
    host = _host_of_latest(program, service, catalogs, warn) if latest else None
    wanted = _name_of(catalogs, service, backup, warn, host)
    return open_nearest(catalogs, wanted, program.keys, warn, failed)


def look(
    program: Program,
    service: str,
    source: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[list[Catalog], list[VaultError]]:
    """Return the catalogs of a service, the nearest first, and the errors of other destinations.

    Warn of destinations that do not answer, or lack backups that they had. Raises Away if none
    answers.
    """
    found, away, alarms = list_service(program, service, source)
    names = program.nearest(service) if source is None else [source]
    catalogs = [found[name] for name in names if name in found]
    failed = [away[name] for name in names if name in away]
    for other in failed if catalogs else failed[1:]:
        warn(str(other))
    if not catalogs and not failed:
        raise NotThere(f"{service} has no destination", "correct the configuration: packrat check")
    if not catalogs:
        raise failed[0]
    for alarm in alarms:
        warn(alarm_text(alarm))
    return catalogs, failed


def open_nearest(
    catalogs: list[Catalog],
    wanted: str,
    keys: Keys,
    warn: Callable[[str], None] = lambda _: None,
    failed: Sequence[VaultError] = (),
) -> Chosen:
    """Open an archive by its name at the first destination where it can be opened.

    Raises the last error if there is none; `failed` are errors of destinations that do not answer.
    """
    failed = list(failed)
    good = [one for one in catalogs if wanted in _names(one.backups)]
    damaged = [one for one in catalogs if wanted in _names(one.damaged)]
    for catalog in (*good, *damaged):
        try:
            archive = catalog.open(wanted, keys)
        except VaultError as error:
            failed.append(error)
            warn(str(error))
            continue
        return Chosen(catalog, archive, [one for one in catalogs if one is not catalog])
    raise failed[-1] if failed else Away(f"no destination has {wanted}")


def _names(items: Iterable[Listed], host: str | None = None) -> set[str]:
    """Return names of archives; with `host`, of that host only."""
    return {one.stored.name for one in items if host is None or is_of(one, host)}


def _host_of_latest(
    program: Program, service: str, catalogs: list[Catalog], warn: Callable[[str], None]
) -> str | None:
    """Return the host for `latest`: this one, or None (any host) if this one has no backup."""
    host = program.host
    if has_own(catalogs, host):
        for catalog in catalogs:
            if other := intruder(catalog, catalogs, host):
                name = catalog.backups[-1].stored.name
                where = catalog.destination.name
                warn(f"{where}: {name} is newer, but of host {other}, and this is {host}")
        return host
    others = {one.summary.host for each in catalogs for one in each.backups if one.summary}
    if others:
        names = ", ".join(sorted(others))
        warn(f"this host, {host}, has no backup of {service}: these are of host {names}")
    return None


def _name_of(
    catalogs: list[Catalog],
    service: str,
    backup: str,
    warn: Callable[[str], None],
    host: str | None = None,
) -> str:
    """Return the name of the archive that matches; `host` limits `latest` to one host."""
    sound = sorted({name for each in catalogs for name in _names(each.backups, host)})
    damaged = sorted({name for each in catalogs for name in _names(each.damaged, host)} - {*sound})
    locked = {
        item.stored.name: catalog
        for catalog in reversed(catalogs)
        for item in catalog.listed
        if item.locked
    }
    problems = {
        item.stored.name: item.problem
        for catalog in catalogs
        for item in catalog.listed
        if item.problem and not item.locked
    }
    back = steps_back(backup)
    if back is not None:
        if back < len(sound):
            latest = sound[-1 - back]
            for newer in sorted({*damaged, *problems}):
                if not back and newer > latest:
                    warn(f"{problems.get(newer, newer)}: so the latest is an older backup")
            return latest
        if sound:
            raise NotThere(
                f"there is no {backup}: {service} has {count_text(len(sound), 'backup')}",
                f"packrat list {service} shows them",
            )
        if locked and not damaged:
            newest = max(locked)
            raise OtherKey(locked[newest].destination, service, newest)
        based = any(catalog.listed for catalog in catalogs)
        raise _not_restorable(service, damaged, problems, based=based)
    made = made_times(catalogs)
    for names in (sound, damaged, sorted(locked), sorted(problems)):
        if name := match(names, service, backup, made):
            if names is damaged:
                warn(f"{name} is damaged or refers to a damaged archive: only good files come back")
            elif name in locked and names is not sound:
                raise OtherKey(locked[name].destination, service, name)
            elif names is not sound:
                raise NotThere(problems[name], f"packrat list {service} lists the good backups")
            return name
    if older := newest_before(sound, backup, made):
        warn(f"the newest backup of {service} at or before {backup!r}: {described(older, made)}")
        return older
    raise NotThere(
        f"there is no backup {backup!r} of {service}", f"packrat list {service} shows them"
    )


def find_archives(catalogs: Iterable[Catalog], backup: str, host: str) -> dict[str, str]:
    """Return service -> name of the matching archive, damaged or not, where there is one.

    `latest` is the latest of `host` if it has any. Raises NotThere if nothing matches, OtherKey if
    the match is sealed under another key.
    """
    by_service: dict[str, list[Catalog]] = {}
    for catalog in catalogs:
        by_service.setdefault(catalog.service, []).append(catalog)
    found = {}
    for service, same in by_service.items():
        made, back = made_times(same), steps_back(backup)
        if back is not None:
            of = host if has_own(same, host) else None
            some = {name for each in same for name in _names([*each.backups, *each.damaged], of)}
            name = sorted(some)[-1 - back] if back < len(some) else None
        else:
            some = {name for each in same for name in _names(each.listed)}
            name = match(sorted(some), service, backup, made) or newest_before(some, backup, made)
        if name is None:
            continue
        for each in same:
            if any(one.locked and one.stored.name == name for one in each.listed):
                raise OtherKey(each.destination, service, name)
        found[service] = name
    if not found and any(each.listed for same in by_service.values() for each in same):
        [only, *more] = by_service
        of, word = ("", "") if more else (f" of {only}", f" {only}")
        raise NotThere(f"there is no backup {backup!r}{of}", f"packrat list{word} shows them")
    return found


def _not_restorable(
    service: str, damaged: list[str], problems: dict[str, str], *, based: bool
) -> NotThere:
    """Return the error for a service without a good backup, with advice.

    `based` says whether there are archives that are no backups.
    """
    if damaged:
        return NotThere(
            f"no backup of {service} is without damage",
            f"packrat restore {service} --backup {damaged[-1]} restores what is good in it, and"
            f" packrat backup {service} makes a new one",
        )
    if problems:
        return NotThere(
            f"no backup of {service} can be read: {problems[max(problems)]}",
            "packrat verify lists all problems",
        )
    if based:
        return NotThere(
            f"no backup of {service} has everything that it needs",
            f"packrat verify {service} says what is missing; packrat backup {service} makes a new"
            " backup",
        )
    return NotThere(f"there is no backup of {service}", f"packrat backup {service} creates one")
