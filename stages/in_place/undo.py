"""Undo of an in-place restore.

The replaced files go back. What is there now, including everything written since, goes to the
working folder, which only `forget` deletes.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from stages.errors import TargetError
from stages.in_place.exchange import exists
from stages.in_place.folder import open_sides, own_folders
from stages.in_place.identity import identify
from stages.in_place.moves import in_archive, take_all_back
from stages.in_place.record import (
    NO_LOADS,
    Record,
    Step,
    paths_text,
    read_records,
    restores,
    write_records,
    write_result,
)
from stages.in_place.sides import Sides
from stages.in_place.survey import Survey, Why
from stages.source.exclude import Excludes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stages.in_place.folder import Places
    from stages.in_place.moves import Sided
    from stages.in_place.record import Load

NAMED = 20
"""Most paths that an error names."""


class Undone(msgspec.Struct, frozen=True):
    """Result of an undo."""

    folders: tuple[str, ...]
    """Paths of the folders that hold what was taken out, one for each root."""
    odd: tuple[str, ...] = ()
    """Paths for which neither the old nor the new file was found."""
    left: tuple[str, ...] = ()
    """New paths that stay, because they contain something excluded or Packrat's own."""


def newest_undoable(state_dir: str, service: str) -> tuple[Record, ...] | None:
    """Return the records of the newest restore that can be undone; raises TargetError."""
    known = reversed(restores(read_records(state_dir, service)))
    return next((group for group in known if all(r.phase == "swapped" for r in group)), None)


def undo(
    state_dir: str,
    records: Sequence[Record],
    places: Places,
    patterns: Callable[[str], Sequence[str]],
    never: Sequence[str],
    now: float,
    loads: Mapping[str, Load] = NO_LOADS,
) -> Undone:
    """Undo a restore; the service must be stopped.

    `places` has the folders of the roots now, by label, as paths or open; `now` is in seconds since
    1970. `loads` has the dumps that must be loaded afterwards, by the label of their root; the undo
    counts as reported once its caller has loaded them and calls `finished_later`. If anything that
    the restore replaced is missing, nothing is changed and the error names it. Raises TargetError.
    """
    with ExitStack() as opened:
        try:
            sides = open_sides(records, places, opened)
            plans = [_plan(state_dir, *side, patterns(side[0].path), never) for side in sides]
            since = int(now)
            new = [
                structs.replace(one, since=since, bytes=None, load=loads.get(one.label))
                for one, _ in plans
            ]
            sides = [(one, *side[1:]) for one, side in zip(new, sides, strict=True)]
            write_records(state_dir, new)
        except OSError as error:
            raise TargetError(
                f"cannot undo the restore of {paths_text(records)}: {error.filename}:"
                f" {error.strerror}",
                "nothing was changed",
            ) from error
        done = finish_undo(state_dir, sides)
        # Unless that is written, the next undo reports this one again, and does nothing.
        with suppress(TargetError):
            if not loads:
                write_records(state_dir, [structs.replace(one, phase="undone") for one in new])
    return structs.replace(done, left=tuple(path for _, left in plans for path in left))


def finished_later(state_dir: str, service: str) -> bool:
    """Return whether the last undo is finished, and this was not reported yet.

    That undo is not repeated on an older restore. Raises TargetError.
    """
    records = read_records(state_dir, service)
    for group in restores(records):
        if group[0].unreported:
            write_records(state_dir, [structs.replace(one, unreported=False) for one in group])
    done = [record for record in records if record.phase in ("swapped", "undone")]
    return bool(done) and done[-1].unreported


def finish_undo(state_dir: str, sides: Sequence[Sided]) -> Undone:
    """Carry out an undo that its records call for; it can be repeated. Raises TargetError."""
    records = [record for record, _, _ in sides]
    try:
        odd = take_all_back(sides)
    except (OSError, TargetError) as error:
        cause = f"{error.filename!r}: {error.strerror}" if isinstance(error, OSError) else error
        raise TargetError(
            f"the undo of a restore of {paths_text(records)} was interrupted: {cause}",
            f"what is not back yet is in {records[0].folder}; the next command continues it",
        ) from error
    done = [structs.replace(one, phase="undone", unreported=True) for one in records]
    write_result(state_dir, done)
    return Undone(tuple(os.path.join(one.path, one.folder) for one in records), odd)


def _plan(
    state_dir: str,
    record: Record,
    root: int,
    work: int,
    exclude: Sequence[str],
    never: Sequence[str],
) -> tuple[Record, tuple[str, ...]]:
    own = own_folders(state_dir, root, never)
    everything = Survey(root, Excludes(()), own)
    with Sides(record, root, work) as sides:
        _refuse([s.path for s in record.steps if not _is_recorded(s, sides)], "is not as recorded")
        _refuse(_inside(record.steps, everything), "is a mount point or belongs to packrat")
        if record.paths:  # an undo does not touch what is beside the restored paths
            return structs.replace(record, phase="undoing"), ()
        found = Survey(root, Excludes(exclude), own) if exclude else everything
        new = list(_written_since(record, sides, found))
        taken = [p for p in new if p not in found.holding and not exists(sides.slot(p))]
    steps = (*record.steps, *(Step(p) for p in taken))
    left = tuple(in_archive(record, path) for path in new if path in found.holding)
    return structs.replace(record, phase="undoing", steps=steps), left


def _is_recorded(step: Step, sides: Sides) -> bool:
    """Return whether the working folder still holds exactly what the restore replaced."""
    if step.old is None:
        return not exists(sides.slot(step.path))
    return identify(*sides.slot(step.path), step.old.kind) == step.old


def _inside(steps: Sequence[Step], found: Survey) -> Iterator[str]:
    """Yield what must not move and is, or is inside, something that an undo would take out."""
    moving = {step.path for step in steps}
    for path, why in found.stays.items():
        names = path.split("/")
        above = ("/".join(names[:depth]) for depth in range(1, len(names) + 1))
        if why not in (Why.EXCLUDED, Why.SOCKET) and moving.intersection(above):
            yield path


def _written_since(record: Record, sides: Sides, found: Survey) -> Iterator[str]:
    """Yield names in the folders that stayed that neither the old state nor the backup had."""
    known = {
        *(step.path for step in record.steps),
        *(stay.path for stay in record.stays),
        *record.kept,
        *found.stays,
    }
    for stay in record.stays:
        for name in sorted(os.listdir(sides.folder(stay.path))):
            path = f"{stay.path}/{name}" if stay.path else name
            if path not in known:
                yield path


def _refuse(paths: Sequence[str] | Iterator[str], why: str) -> None:
    paths = list(paths)
    if paths:
        more = f" and {len(paths) - NAMED:,} more" * (len(paths) > NAMED)
        named = ", ".join(repr(path) for path in paths[:NAMED]) + more
        raise TargetError(
            f"cannot undo: {named} {why}",
            "nothing was changed; what the restore replaced is in the .packrat-restore- folder of"
            " the service",
        )
