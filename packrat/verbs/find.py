"""`packrat find`: paths that match a pattern, in all backups."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from packrat.browse.library import AllBackups
from packrat.browse.opened import opened_ahead
from packrat.errors import Exit
from packrat.restore.request import in_roots
from packrat.runs.left_out import note_left_out
from packrat.text.report import bytes_text, count_text, minute_text, print_json, table, warn
from vault.archive.compare import Search, Sighting
from vault.browse import PackratFileSystem
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packrat.program import Program
    from vault.archive.format import Summary


def find_paths(
    program: Program, pattern: str, services: Sequence[str], source: str | None, *, as_json: bool
) -> int:
    """Print each matching path with the backups that have it; return the exit status."""
    names = program.services(services, stored=True) or list(program.config.services)
    library = AllBackups(program, source)
    files = PackratFileSystem(library)
    rows: list[dict[str, Any]] = []
    searched, failed = 0, list[VaultError]()
    for service in names:
        search = Search(_matcher(pattern, program.config.services[service].reads.labels))
        try:
            backups = library.backups(service)
        except VaultError as error:
            failed.append(error)
            warn(str(error))
            continue
        for name, tree in opened_ahead(files, service, backups):
            try:
                search.add(name, tree())
                searched += 1
            except VaultError as error:
                failed.append(error)
                warn(f"{service}: backup {backups[name].id[:8]} was not searched: {error}")
        rows += [_row(service, backups, found) for found in search.sightings()]
    if failed and not searched:
        raise failed[0]
    _report(rows, pattern, searched, as_json=as_json)
    if not (services or as_json or failed or library.away):
        advice = "packrat find PATTERN SERVICE searches one"
        note_left_out(program, "searched", advice, source)
    return Exit.PARTIAL if failed or library.away else Exit.DONE


def _row(service: str, backups: dict[str, Summary], found: Sighting) -> dict[str, Any]:
    first, last = backups[found.first], backups[found.last]
    return {
        "service": service,
        "path": found.entry.name,
        "type": found.entry.type,
        "size": found.entry.size,
        "mtime": found.entry.mtime,
        "versions": found.versions,
        "first": first.made,
        "first_id": first.id[:8],
        "last": last.made,
        "last_id": last.id[:8],
        "present": found.present,
    }


def _report(rows: list[dict[str, Any]], pattern: str, searched: int, *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"nothing in {count_text(searched, 'backup')} matches {pattern!r}")
    else:
        table(
            ["SERVICE", "FIRST", "LAST", "ID", "VERS", "SIZE", "PATH"],
            [
                [
                    row["service"],
                    minute_text(row["first"])[:10],
                    minute_text(row["last"]),
                    row["last_id"],
                    f"{row['versions']:,}",
                    bytes_text(row["size"]),
                    row["path"] + "/" * (row["type"] == "dir"),
                ]
                for row in rows
            ],
            right=["VERS", "SIZE"],
        )


def _matcher(pattern: str, labels: Mapping[str, str]) -> Callable[[str], object]:
    """Return a test for paths of backups; `labels` has the folders of the roots.

    A pattern with `/` is compared with the whole path, where `*` also matches `/`; any other one
    with the name alone.
    """
    if "/" not in pattern:
        matches = re.compile(translate(pattern)).match
        return lambda path: matches(path[path.rfind("/") + 1 :])
    named = in_roots(pattern, labels)
    return re.compile(translate(pattern.strip("/") if named is None else named)).match
