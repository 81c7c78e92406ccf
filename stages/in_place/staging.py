"""Working folder of an in-place restore while its tree is written: created or reopened."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from msgspec import structs

from stages.errors import TargetError
from stages.in_place.exchange import exists, supports_exchange
from stages.in_place.folder import PREFIX, TREE, find_folder, make_folder, open_folder
from stages.in_place.identity import identify, is_same
from stages.in_place.record import Record, read_records, remove_record, write_record
from stages.restore_target import linux
from stages.restore_target.handles import OPEN_FOLDER, open_service
from vault.archive.format import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

ELSEWHERE = "nothing was changed; restore to a folder with --to, then copy"


class Staging:
    """Open working folder of a restore whose tree is being written."""

    def __init__(self, record: Record, root: int, work: int, tree: int) -> None:
        self.record = record
        self.root, self.work = root, work
        self.tree = tree
        """The folder to write to, which only the caller can enter."""
        self.again = bool(os.listdir(tree))
        """A restore of the same archive and paths was interrupted here."""

    @property
    def path(self) -> str:
        """Path of the folder to write to, for messages."""
        return os.path.join(self.record.path, self.record.folder, TREE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self.tree, self.work, self.root):
            os.close(fd)


def prepare(
    state_dir: str, service: str, path: str, archive: str, paths: Sequence[str], now: float
) -> Staging:
    """Create the working folder of a restore, or open that of the same one that was interrupted.

    Fails, before anything is stopped, if files cannot be told apart or exchanged safely. `archive`
    is an archive id, `now` seconds since 1970. Raises TargetError.
    """
    try:
        root = open_service(path, create=True)
        try:
            record, work = _working_folder(state_dir, service, root, path, archive, paths, now)
        except BaseException:
            os.close(root)
            raise
        try:
            record = structs.replace(record, exchanges=supports_exchange(work))
            identify(root, ".")
            with suppress(FileExistsError):
                os.close(make_folder(work, TREE))
            tree = os.open(TREE, OPEN_FOLDER, dir_fd=work)
        except BaseException:
            os.close(work)
            os.close(root)
            raise
    except OSError as error:
        raise TargetError(
            f"cannot restore in place below {path}: {error.strerror}", ELSEWHERE
        ) from error
    return Staging(record, root, work, tree)


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


def _working_folder(
    state_dir: str,
    service: str,
    root: int,
    path: str,
    archive: str,
    paths: Sequence[str],
    now: float,
) -> tuple[Record, int]:
    identity = identify(root, ".")
    assert identity
    records = read_records(state_dir, service)
    wanted = tuple(sorted(set(paths)))
    for record in reversed(records):
        if (
            record.phase == "staging"
            and (record.archive, record.paths) == (archive, wanted)
            and is_same(root, ".", record.root)
            and find_folder(root, record)
        ):
            return record, open_folder(root, record)
    record = Record(
        number=records[-1].number + 1 if records else 1,
        service=service,
        path=path,
        root=identity,
        archive=archive,
        paths=wanted,
        folder=_free_name(root, now),
        phase="making",
        mtime=os.fstat(root).st_mtime_ns,
    )
    write_record(state_dir, record)
    work = -1
    try:
        work = make_folder(root, record.folder)
        touched = os.fstat(root).st_mtime_ns
        record = structs.replace(
            record, phase="staging", identity=identify(work, "."), touched=touched
        )
        write_record(state_dir, record)
    except BaseException:
        if work >= 0:
            os.close(work)
        with suppress(TargetError):
            unmake(state_dir, record, root)
        raise
    return record, work


def _free_name(root: int, now: float) -> str:
    """Return a name that does not exist in the service's folder."""
    while True:
        name = PREFIX + stamp(now)
        if not exists((root, name)):
            return name
        now += 1
