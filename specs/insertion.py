"""Insertion of stages of other packages into a compiled pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from specs.service import AddedStage

Stages = dict[str, dict[str, Any]]


class Insertion(Struct, frozen=True):
    """A pipeline's stages with those of other packages among them."""

    stages: Stages
    added: dict[str, int]
    """Name of an added stage -> the number of its entry in `stages:` of the service."""
    unknown: dict[int, list[str]]
    """Number of an entry whose anchor is not in the pipeline -> anchors that are."""


def insert(stages: Mapping[str, dict[str, Any]], entries: Sequence[AddedStage]) -> Insertion:
    """Insert stages in order, so that an entry may use an earlier one as its anchor.

    An anchor is the name of a stage; without a destination, it matches at each destination. A stage
    is named after its kind; the second one of a kind is called KIND-2.
    """
    into = dict(stages)
    added: dict[str, int] = {}
    unknown: dict[int, list[str]] = {}
    for number, entry in enumerate(entries):
        edges = list(_edges(into, entry))
        if not edges:
            unknown[number] = list(dict.fromkeys([*into, *(n.partition(":")[0] for n in into)]))
            continue
        base = _free_name(entry.kind, into)
        for before, after in edges:
            branch = next((b for n in (before, after) if n and (b := n.partition(":")[2])), "")
            name = f"{base}:{branch}" if branch else base
            into = _insert(into, name, {"kind": entry.kind, **entry.params}, before, after)
            added[name] = number
    return Insertion(into, added, unknown)


def _edges(stages: Stages, entry: AddedStage) -> Iterator[tuple[str | None, str | None]]:
    """Yield the edges at which an entry is inserted; an open end is None."""
    for name in [n for n in stages if entry.anchor in (n, n.partition(":")[0])]:
        others: list[str | None]
        if entry.before:
            others = [*stages[name].get("after", [])] or [None]
            yield from ((other, name) for other in others)
        else:
            others = [n for n, given in stages.items() if name in given.get("after", [])] or [None]
            yield from ((name, other) for other in others)


def _insert(
    stages: Stages, name: str, stage: dict[str, Any], before: str | None, after: str | None
) -> Stages:
    """Return the stages with one more between `before` and `after`."""
    stage |= {"after": [before]} if before else {}
    result: Stages = {}
    for other, given in stages.items():
        if other == after:
            result[name] = stage
            order = [name if one == before else one for one in given.get("after", [])]
            result[other] = given | {"after": order or [name]}
        else:
            result[other] = given
    return result if after else result | {name: stage}


def _free_name(kind: str, stages: Stages) -> str:
    taken = {name.partition(":")[0] for name in stages}
    return next(
        name
        for number in range(1, len(taken) + 2)
        if (name := kind if number == 1 else f"{kind}-{number}") not in taken
    )
