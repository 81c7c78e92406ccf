"""What each destination should hold: what may go, what it lacks, what is being replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.catalog.catalog import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vault.archive.format import Summary
    from vault.catalog.catalog import Catalog, Held

WORTH_KEEPING = 0.6
"""An old archive of which less than this is still referred to is read again from the source."""


def doomed(
    catalog: Catalog, keep: int, host: str, owed: Iterable[str] = (), coming: int = 0
) -> list[Held]:
    """Give the archives older than the newest `keep` backups that none of these needs.

    Newest first: so a run that dies between two deletions leaves backups whole, what refers goes
    before what it refers to. `owed` are ids that catch-up still needs; `coming` backups are about
    to be made, and build on the newest. What is not of this host and under this key stays.
    So does the newest backup in which no file was missed: of each newer one something is lacking.
    """
    backups = catalog.backups
    if not backups or shrunk(backups[-1]) or keep < 1:
        return []
    border = max(len(backups) - max(keep - coming, 0), 0)
    kept = backups[border:] or backups[-1:]
    needed = {other.id for held in kept for other in _summary(held).archives} | set(owed)
    for held in [held for held in backups if not _summary(held).missed][-1:]:
        needed |= {_summary(held).id, *(other.id for other in _summary(held).archives)}
    # What is damaged keeps its place: most of it can still be read, and a good one may mend it.
    hurt = sorted([*backups, *catalog.hurt], key=_name)[-keep:] if catalog.hurt else []
    needed |= {_summary(held).id for held in hurt}
    needed |= {other.id for held in hurt for other in _summary(held).archives}
    return [
        held
        for held in reversed(catalog.held)
        if held.summary
        and _name(held) < _name(kept[0])
        and held.summary.id not in needed
        and held.summary.host == host
    ]


def incomplete(destination: str, lost: Iterable[str]) -> str:
    """Say why nothing goes by a list that lacks what another one had just before."""
    return (
        f"no old backup goes from {destination} this time: it no longer lists"
        f" {', '.join(sorted(lost))}; if that was deleted on purpose, the next run prunes again"
    )


def shrunk(held: Held) -> bool:
    """Say whether a backup has under half of the files or bytes that a normal one had."""
    summary = _summary(held)
    files, size = summary.normal
    return summary.files < files / 2 or summary.size < size / 2


def wanted(own: Catalog, sources: Sequence[Catalog], keep: int) -> list[Held]:
    """Give what a destination lacks of the newest `keep` backups that exist anywhere, oldest first.

    Oldest first is references first: an archive refers to older ones only.
    """
    known = {id_: held for source in sources for id_, held in source.standing.items()}
    known |= own.standing
    whole_ones = [held for held in known.values() if whole(_summary(held), known)]
    kept = sorted(whole_ones, key=_name)[-keep:]
    needed = {other.id for held in kept for other in _summary(held).archives}
    needed |= {_summary(held).id for held in kept}
    return sorted((known[id_] for id_ in needed if id_ not in own.standing), key=_name)


def still_owed(own: Catalog, sources: Sequence[Catalog], keep: int) -> set[str]:
    """Give the ids that backups refer to which catch-up still has to bring here."""
    return {other.id for held in wanted(own, sources, keep) for other in _summary(held).archives}


def replaced(parent: Summary, catalogs: Iterable[Catalog], keep: int) -> set[str]:
    """Give the ids of archives that new backups should no longer refer to.

    They are past retention everywhere, and the parent uses too little of them: what it uses is
    stored anew, so that the old file becomes free and is deleted whole.
    """
    standing: dict[str, Held] = {}
    young: set[str] = set()
    for catalog in catalogs:
        standing |= catalog.standing
        # The backup being made counts as one of the newest.
        young |= {_summary(held).id for held in catalog.backups[-max(keep - 1, 1) :]}
    return {
        other.id
        for other in parent.archives
        if other.id not in young
        and other.id in standing
        and other.used < WORTH_KEEPING * _summary(standing[other.id]).payload
    }


def _summary(held: Held) -> Summary:
    assert held.summary is not None
    return held.summary


def _name(held: Held) -> str:
    return held.stored.name
