"""Lineage of the next archive of a service, from all archives and statements that are known.

A statement ends by a later statement, never by absence. So what is in force is what any manifest or
statement says, unless a later statement ends it. See "Statements" in docs/format.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, structs

from vault.archive.format import stamp, unstamp
from vault.archive.lineage import Accepted, Gone, Lineage, Parent, Pin
from vault.catalog.hosts import is_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vault.archive.format import Summary
    from vault.archive.statement import Statement
    from vault.catalog.catalog import Catalog

    Random = Callable[[int], bytes]

LINE_BYTES = 16
Saying = TypeVar("Saying", Pin, Accepted, Gone)


def lines_of(catalogs: Iterable[Catalog], host: str | None) -> set[str]:
    """Return the lines that a host has continued; all lines if `host` is None.

    There are several if a destination was new while the others were away.
    """
    return {
        item.summary.line
        for catalog in catalogs
        for item in catalog.listed
        if item.summary and (host is None or is_of(item, host))
    }


def next_lineage(
    catalogs: list[Catalog], host: str | None, random: Random, pruned: Mapping[str, float]
) -> Lineage:
    """Return the lineage of the next archive of a host; None continues any host's line.

    The parent is the newest archive of the line that is known, whether or not it can be restored.
    Of the deleted archives, only those are listed that it, or an archive that is there, names.
    `pruned` are archives that this machine has deleted, with the times in seconds since 1970.
    """
    known, said = _known(catalogs, host)
    if not known:
        return Lineage(line=random(LINE_BYTES).hex(), parent=None, sequence=1)
    name, summaries = max(known), [*known.values()]
    there = {summary.id for summary in summaries}
    gone = _gone(summaries, said)
    gone += [Gone(id_, stamp(when), "pruned") for id_, when in pruned.items() if id_ not in there]
    named = {known[name].id} | {other.id for summary in summaries for other in summary.archives}
    named |= {summary.parent.id for summary in summaries if summary.parent}
    return Lineage(
        line=known[name].line,
        parent=Parent(known[name].id, name),
        sequence=known[name].sequence + 1,
        pins=_pins(summaries, said),
        accepted=_accepted(summaries, said),
        gone=[one for one in _latest(gone) if one.archive in named],
    )


def pins_of(catalogs: Iterable[Catalog], host: str | None) -> dict[str, Pin]:
    """Return archive id -> pin in force in the lines of a host; None stands for any host."""
    known, said = _known([*catalogs], host)
    return {pin.archive: pin for pin in _pins([*known.values()], said)}


class Sayings(Struct, frozen=True):
    """Statements and manifests about archives that are not there, combined."""

    accepted: Mapping[str, float]
    """Archive id -> time of the latest acceptance, in seconds since 1970."""
    gone: set[str]
    """Ids of archives that packrat deleted."""

    @property
    def explained(self) -> set[str]:
        """Ids of archives whose absence is explained."""
        return {*self.accepted, *self.gone}


def sayings_of(catalogs: Iterable[Catalog], host: str | None) -> Sayings:
    """Return what is said in the lines of a host; None stands for any host."""
    known, said = _known([*catalogs], host)
    summaries = [*known.values()]
    accepted = {one.archive: float(unstamp(one.time)) for one in _accepted(summaries, said)}
    return Sayings(accepted, {one.archive for one in _gone(summaries, said)})


def _known(
    catalogs: list[Catalog], host: str | None
) -> tuple[dict[str, Summary], list[tuple[str, Statement]]]:
    """Return the archives of the lines of a host by name, and what is said about each archive."""
    lines = lines_of(catalogs, host)
    known: dict[str, Summary] = {}
    statements: dict[str, Statement] = {}
    for catalog in catalogs:
        for item in (*catalog.listed, *catalog.statements):
            if item.summary and item.summary.line in lines:
                known[item.name] = item.summary
            if item.statement and item.statement.line in lines:
                statements[item.name] = item.statement
    return known, [(archive, one) for one in statements.values() for archive in one.archives]


def _pins(summaries: list[Summary], said: list[tuple[str, Statement]]) -> list[Pin]:
    pins = [pin for summary in summaries for pin in summary.pins]
    pins += [Pin(archive, one.time, one.text) for archive, one in said if one.says == "pin"]
    ended = {(archive, one.time) for archive, one in said if one.says == "unpin"}
    return [
        pin
        for pin in _latest(pins)
        if not any(archive == pin.archive and time > pin.time for archive, time in ended)
    ]


def _accepted(summaries: list[Summary], said: list[tuple[str, Statement]]) -> list[Accepted]:
    accepted = [one for summary in summaries for one in summary.accepted]
    accepted += [Accepted(archive, one.time) for archive, one in said if one.says == "accepted"]
    return _latest(accepted)


def _gone(summaries: list[Summary], said: list[tuple[str, Statement]]) -> list[Gone]:
    return [one for summary in summaries for one in summary.gone] + [
        Gone(archive, one.time, one.says)
        for archive, one in said
        if one.says in ("pruned", "forgotten")
    ]


def _latest(sayings: list[Saying]) -> list[Saying]:
    """Return the latest saying about each archive, sorted by archive."""
    found = {one.archive: one for one in sorted(sayings, key=structs.astuple)}
    return [found[archive] for archive in sorted(found)]
