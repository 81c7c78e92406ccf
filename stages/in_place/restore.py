"""In-place restore: write the tree into a working folder, then exchange it with the one in use.

    with prepare(state_dir, service, targets, archive, now) as staging:
        ...  write the tree of each of `staging.roots`, while the service runs
        ...  stop the service
        swapped = swap(state_dir, staging, patterns, never, check, now)
        ...  start the service

The caller holds the service's lock, and has called `recover` first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from stages import linux
from stages.empty_folder import empty_folder
from stages.errors import TargetError
from stages.in_place.folder import own_folders
from stages.in_place.moves import in_archive, is_untouched, take, take_all_back
from stages.in_place.plan import Left, plan_swap
from stages.in_place.record import (
    NO_LOADS,
    Record,
    Stay,
    paths_text,
    write_records,
    write_result,
)
from stages.in_place.sides import ASIDE, make_aside
from stages.in_place.staging import ELSEWHERE, StagedRoot, Staging
from stages.in_place.survey import Survey
from stages.restore_target.folders import seal
from stages.restore_target.handles import OPEN_FOLDER, open_below
from stages.source.exclude import Excludes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stages.in_place.moves import Sided
    from stages.in_place.record import Load


class Exchanged(msgspec.Struct, frozen=True):
    """Result of a completed in-place restore."""

    folders: tuple[str, ...]
    """Paths of the folders that hold what was replaced, one for each root."""
    left: tuple[Left, ...]
    """Paths that the backup has and that were not restored, because something stays there."""


def swap(
    state_dir: str,
    staging: Staging,
    patterns: Callable[[str], Sequence[str]],
    never: Sequence[str],
    check: Callable[[], None],
    now: float,
    loads: Mapping[str, Load] = NO_LOADS,
) -> Exchanged:
    """Exchange the restored trees with the present ones; the service must be stopped.

    Paths that match the `patterns` of a root's folder, the folders `never` and mount points stay.
    `check` is called before each step and may raise. `now` is in seconds since 1970. `loads` has
    the dumps that must be loaded afterwards, by the label of their root. On any error everything
    is as before, unless the error says that the next command continues. Raises
    TargetError.
    """
    try:
        plans = [
            _plan(state_dir, one, patterns(one.record.path), never, check) for one in staging.roots
        ]
        for one in staging.roots:  # the restored tree must be on the disk before it replaces
            linux.syncfs(one.root)
    except OSError as error:
        raise TargetError(
            f"cannot restore in place below {paths_text(staging.records)}: {error.strerror}",
            ELSEWHERE,
        ) from error
    records = [
        structs.replace(record, since=int(now), bytes=None, load=loads.get(record.label))
        for record, _ in plans
    ]
    sides = [(new, one.root, one.work) for new, one in zip(records, staging.roots, strict=True)]
    write_records(state_dir, records)
    done = [structs.replace(record, phase="swapped") for record in records]
    try:
        for record, root, work in sides:
            take(record, root, work, check)
        for one in staging.roots:
            linux.syncfs(one.root)
        write_records(state_dir, done)
    except BaseException as error:
        roll_back(state_dir, sides)
        if isinstance(error, OSError):
            raise TargetError(
                f"cannot restore in place at {error.filename!r}: {error.strerror}",
                "nothing was changed; restore to a folder with --to, then copy",
            ) from error
        raise
    for one, record in zip(staging.roots, done, strict=True):
        one.record = record
    aside = tuple(os.path.join(record.path, record.folder) for record in done)
    return Exchanged(aside, tuple(left for _, more in plans for left in more))


def roll_back(state_dir: str, sides: Sequence[Sided]) -> tuple[str, ...]:
    """Take back the steps of an unfinished swap; return the paths of unknown content.

    Raises TargetError if something is not back yet; recovery continues with it.
    """
    records = [record for record, _, _ in sides]
    try:
        odd = take_all_back(sides)
        untouched = all(is_untouched(*side) for side in sides)
    except (OSError, TargetError) as error:
        cause = f"{error.filename!r}: {error.strerror}" if isinstance(error, OSError) else error
        raise TargetError(
            f"a restore in place of {paths_text(records)} ended early and could not be taken back:"
            f" {cause}",
            f"what was there before is in {records[0].folder}; the next command tries again",
        ) from error
    if untouched:
        records = [
            structs.replace(one, phase="staging", steps=(), stays=(), kept=(), load=None)
            for one in records
        ]
    else:  # something was written meanwhile: only forget deletes it
        records = [structs.replace(one, phase="undone", load=None) for one in records]
    write_result(state_dir, records)
    return odd


def _plan(
    state_dir: str,
    staging: StagedRoot,
    exclude: Sequence[str],
    never: Sequence[str],
    check: Callable[[], None],
) -> tuple[Record, tuple[Left, ...]]:
    record, root = staging.record, staging.root
    own = own_folders(state_dir, root, never)
    here = os.fstat(root)
    if (here.st_dev, here.st_ino) in own:
        raise TargetError(
            f"{record.path} is where packrat itself writes",
            "a destination, the spool and the state need folders of their own",
        )
    work = os.fstat(staging.work)
    own.add((work.st_dev, work.st_ino))
    _clear_aside(staging.work)
    found = Survey(root, Excludes(exclude), own, check)
    plan = plan_swap(root, staging.tree, found, record.paths)
    make_aside(staging.work, plan.stays)
    # From here on, a process of the service whose working directory is moved into the tree must not
    # be able to climb from there to its neighbours.
    for stay in plan.stays:
        if stay.staged:
            fd = open_below(staging.tree, stay.path)
            try:
                seal(fd)
            finally:
                os.close(fd)
    stays = [_with_own_times(record, stay) if not stay.path else stay for stay in plan.stays]
    seal(staging.work)  # this also sets its ctime: anything written later is newer
    record = structs.replace(
        record,
        phase="swapping",
        began=os.fstat(staging.work).st_ctime_ns,
        steps=tuple(plan.steps),
        stays=tuple(stays),
        kept=tuple(plan.kept),
    )
    left = sorted(plan.left, key=lambda one: one.path)
    return record, tuple(Left(in_archive(record, one.path), one.why) for one in left)


def _with_own_times(record: Record, root: Stay) -> Stay:
    """Remove from the root's old time the change that the working folder caused."""
    if root.old.mtime != record.touched:
        return root
    old = structs.replace(root.old, mtime=record.mtime)
    return structs.replace(root, old=old, new=old if root.new == root.old else root.new)


def _clear_aside(work: int) -> None:
    """Remove the empty folders that an earlier attempt has left; raises OSError."""
    with suppress(FileNotFoundError):
        folder = os.open(ASIDE, OPEN_FOLDER, dir_fd=work)
        try:
            empty_folder(folder, only_folders=True)
        finally:
            os.close(folder)
        os.rmdir(ASIDE, dir_fd=work)
