"""Working folders of an in-place restore while its trees are written: created or reopened."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import structs

from stages import linux
from stages.errors import TargetError
from stages.in_place.exchange import exists, supports_exchange
from stages.in_place.folder import PREFIX, TREE, find_folder, make_folder, open_folder
from stages.in_place.identity import identify, is_same
from stages.in_place.record import (
    Record,
    read_records,
    remove_record,
    restores,
    write_records,
)
from stages.restore_target.handles import OPEN_FOLDER, open_service
from vault.archive.format import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

ELSEWHERE = "nothing was changed; restore to a folder with --to, then copy"


class TargetRoot(msgspec.Struct, frozen=True):
    """Root of a backup, the folder that it is restored to, and which paths of it."""

    label: str
    """Label in the backup."""
    folder: str
    paths: tuple[str, ...] = ()
    """Relative to the root; empty for everything."""


@dataclass
class StagedRoot:
    """Root with its folder, its working folder and the tree in that, all open."""

    record: Record
    root: int
    work: int = -1
    tree: int = -1
    """The folder to write to, which only the caller can enter."""

    @property
    def path(self) -> str:
        """Path of the folder to write to, for messages."""
        return os.path.join(self.record.path, self.record.folder, TREE)


class Staging:
    """Open working folders of a restore whose trees are being written, one for each root."""

    def __init__(
        self,
        roots: Sequence[StagedRoot] = (),
        opened: ExitStack | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Take over the folders of `roots`, which `opened` closes."""
        self.roots = tuple(roots)
        self.again = again
        """A restore of the same archive and paths was interrupted here."""
        self._opened = opened or ExitStack()

    @property
    def path(self) -> str:
        """Paths of the folders to write to, for messages."""
        return ", ".join(one.path for one in self.roots)

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of the roots."""
        return tuple(one.record for one in self.roots)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def prepare(
    state_dir: str, service: str, targets: Sequence[TargetRoot], archive: str, now: float
) -> Staging:
    """Create the working folders of a restore, or open those of the same one, interrupted.

    Fails, before anything is stopped, if files cannot be told apart or exchanged safely. `archive`
    is an archive id, `now` seconds since 1970. Raises TargetError.
    """
    with ExitStack() as opened:
        roots: list[StagedRoot] = []
        try:
            records = read_records(state_dir, service)
            number = records[-1].number + 1 if records else 1
            for one in sorted(targets, key=lambda one: one.label):
                root = open_service(one.folder, create=True)
                opened.callback(os.close, root)
                roots.append(StagedRoot(_record(number, service, one, archive, root, now), root))
            if not _reopen(roots, restores(records), opened):
                _make(state_dir, roots, opened)
            for staged in roots:
                exchanges = supports_exchange(staged.work)
                staged.record = structs.replace(staged.record, exchanges=exchanges)
                with suppress(FileExistsError):
                    os.close(make_folder(staged.work, TREE))
                staged.tree = os.open(TREE, OPEN_FOLDER, dir_fd=staged.work)
                opened.callback(os.close, staged.tree)
            again = any(os.listdir(one.tree) for one in roots)
        except OSError as error:
            where = ", ".join(one.folder for one in targets)
            raise TargetError(
                f"cannot restore in place below {where}: {error.strerror}", ELSEWHERE
            ) from error
        return Staging(roots, opened.pop_all(), again=again)


def unmake(state_dir: str, record: Record, root: int) -> None:
    """Remove a working folder that is still empty, and its record; raises TargetError.

    It may not be the recorded one, so only an empty folder of our own is removed.
    """
    with suppress(FileNotFoundError):
        try:
            found = os.stat(record.folder, dir_fd=root, follow_symlinks=False)
            if found.st_uid == os.geteuid() and not found.st_mode & 0o077:
                os.rmdir(record.folder, dir_fd=root)
                linux.syncfs(root)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):  # otherwise it is not ours
                raise TargetError(
                    f"cannot remove the empty folder {record.folder} in {record.path}:"
                    f" {error.strerror}",
                    "the next command tries again",
                ) from error
    remove_record(state_dir, record)


def _record(
    number: int, service: str, target: TargetRoot, archive: str, root: int, now: float
) -> Record:
    """Return the record of a new restore to an open folder."""
    identity = identify(root, ".")
    assert identity
    return Record(
        number=number,
        service=service,
        path=target.folder,
        root=identity,
        archive=archive,
        paths=tuple(sorted(set(target.paths))),
        folder=_free_name(root, now),
        phase="making",
        label=target.label,
        mtime=os.fstat(root).st_mtime_ns,
    )


def _reopen(
    roots: Sequence[StagedRoot], known: Sequence[Sequence[Record]], opened: ExitStack
) -> bool:
    """Open the working folders of the same restore, if it was interrupted."""
    for records in reversed(known):
        if len(records) == len(roots) and all(map(_is_interrupted, records, roots)):
            for record, one in zip(records, roots, strict=True):
                one.record, one.work = record, open_folder(one.root, record)
                opened.callback(os.close, one.work)
            return True
    return False


def _is_interrupted(record: Record, staged: StagedRoot) -> bool:
    new = staged.record
    return (
        record.phase == "staging"
        and (record.archive, record.label, record.paths) == (new.archive, new.label, new.paths)
        and is_same(staged.root, ".", record.root)
        and find_folder(staged.root, record) is not None
    )


def _make(state_dir: str, roots: Sequence[StagedRoot], opened: ExitStack) -> None:
    """Create the working folders."""
    write_records(state_dir, [one.record for one in roots])
    try:
        for one in roots:
            one.work = make_folder(one.root, one.record.folder)
            opened.callback(os.close, one.work)
            identity, touched = identify(one.work, "."), os.fstat(one.root).st_mtime_ns
            one.record = structs.replace(
                one.record, phase="staging", identity=identity, touched=touched
            )
        write_records(state_dir, [one.record for one in roots])
    except BaseException:
        for one in roots:
            with suppress(TargetError):
                unmake(state_dir, one.record, one.root)
        raise


def _free_name(root: int, now: float) -> str:
    """Return a name that does not exist in the service's folder."""
    while True:
        name = PREFIX + stamp(now)
        if not exists((root, name)):
            return name
        now += 1
