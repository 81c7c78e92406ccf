"""Screen and JSON document of `packrat discover`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.report import bytes_text, count_text, say, table
from specs.discovery.engines import Engine, engine_of, is_data_folder
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from specs.discovery.coverage import Covered, CoveredPlace
    from specs.discovery.groups import Group, Place
    from stages.service.folder_sizes import FolderSize

NOTHING = {
    "data": "nothing",
    "file": "nothing (a single file)",
    "cache": "nothing (a cache)",
    "media": "nothing (can be fetched again)",
}
"""Use of a place without a backup -> what backs it up, and why that may be right."""
ORDER = ("unprotected", "partial", "optional", "protected", "ignored")


def print_discovered(
    found: Sequence[Covered], sizes: Mapping[str, FolderSize], file: str | None
) -> None:
    """Print what containers write and which service has it; `file` is the configuration."""
    rows = [
        row for state in ORDER for one in found if one.state == state for row in _rows(one, sizes)
    ]
    if rows:
        table(["CONTAINERS", "WRITE TO", "SIZE", "BACKED UP BY"], rows, right=["SIZE"])
    if empty := [one.group.name for one in found if one.state == "empty"]:
        say(f"Without data: {', '.join(empty)}.")
    for sentence in _advice(found):
        say(printable(sentence))
    missing = [one.group.name for one in found if one.unprotected]
    if not missing:
        say("A service backs up everything that containers keep.")
        return
    say(f"{len(missing)} of {len(found)} without a complete backup: {', '.join(missing)}.")
    if file is None:
        say("There is no configuration yet: packrat init --starter writes one to start with.")
    else:
        say(f"packrat discover --write adds {'it' if len(missing) == 1 else 'them'} to {file}.")


def _rows(one: Covered, sizes: Mapping[str, FolderSize]) -> Iterator[list[str]]:
    """Yield a row for each place without a backup, and one for all others."""
    name = one.group.name
    rest = [part for part in one.places if part.service or part.ignored or one.ignored]
    for part in one.places:
        if part not in rest:
            place, by = part.place, NOTHING[part.place.use]
            yield [name, _place_text(one.group, place), _size_text(place, sizes), by]
            name = ""
    if rest:
        yield [name, count_text(len(rest), "place"), "", ", ".join(one.services) or "ignored"]


def _place_text(group: Group, place: Place) -> str:
    engines = {engine.name for engine in _engines(group, place)}
    return f"{place.name} ({', '.join(sorted(engines))})" if engines else place.name


def _engines(group: Group, place: Place) -> list[Engine]:
    """Return the database engines that keep their files at a place."""
    inside = dict(place.writers)
    return [
        engine
        for one in group.containers
        if (engine := engine_of(one))
        and one.name in inside
        and is_data_folder(engine, inside[one.name])
    ]


def _size_text(place: Place, sizes: Mapping[str, FolderSize]) -> str:
    size = sizes.get(place.folder)
    if size is None:
        return "unknown"
    return bytes_text(size.bytes) if size.complete else f"more than {bytes_text(size.bytes)}"


def _advice(found: Iterable[Covered]) -> Iterator[str]:
    """Yield sentences about places that need more than a service."""
    for one in found:
        for part in one.places:
            if not part.unprotected:
                continue
            container, inside = part.place.writers[0]
            if part.place.anonymous:
                yield (
                    f"{container} keeps {inside} in a volume without a name; a new container would"
                    f" begin with an empty one. Name it: -v NAME:{inside}"
                )
            for engine in _engines(one.group, part.place):
                if not engine.key:
                    yield (
                        f"{container}: packrat has no dump for {engine.name}; its files are backed"
                        " up while it is stopped"
                    )


def discovered_document(
    found: Iterable[Covered], sizes: Mapping[str, FolderSize]
) -> dict[str, Any]:
    """Return the document of `discover --json`."""
    return {
        "unprotected": [one.group.name for one in found if one.unprotected],
        "groups": [
            {
                "name": one.group.name,
                "compose": one.group.compose,
                "state": one.state,
                "containers": [
                    {
                        "name": container.name,
                        "image": container.image,
                        "state": container.state,
                        "database": engine.name if (engine := engine_of(container)) else None,
                    }
                    for container in one.group.containers
                ],
                "writes": [_part_document(part, sizes) for part in one.places],
            }
            for one in found
        ],
    }


def _part_document(part: CoveredPlace, sizes: Mapping[str, FolderSize]) -> dict[str, Any]:
    place, size = part.place, sizes.get(part.place.folder)
    return {
        "volume": place.volume or None,
        "folder": place.folder,
        "anonymous": place.anonymous,
        "remote": place.remote,
        "use": place.use,
        "containers": [name for name, _ in place.writers],
        "service": part.service or None,
        "ignored": part.ignored,
        "bytes": size.bytes if size else None,
        "bytes_complete": size.complete if size else None,
    }
