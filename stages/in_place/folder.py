"""Working folder of an in-place restore, inside the service's folder and closed to other users.

It first holds the restored tree, then the tree that was replaced. Its owner and mode keep out the
users of the service, but they can rename it, so it is recognized by its identity.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from stages import linux
from stages.errors import TargetError
from stages.in_place.identity import is_same
from stages.in_place.record import all_services, read_records
from stages.restore_target.folders import seal
from stages.restore_target.handles import OPEN_FOLDER, open_service
from stages.source.walk import folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stages.in_place.record import Record

    Places = Mapping[str, str | int]
    """Label of a root -> its folder, as a path or open."""

PREFIX = ".packrat-restore-"
TREE = "tree"
"""Name of the restored tree, later of the replaced one; files in transit are beside it."""


def make_folder(root: int, name: str) -> int:
    """Create and open an empty folder that only its owner can enter; raises OSError."""
    os.mkdir(name, 0o700, dir_fd=root)
    folder = os.open(name, OPEN_FOLDER, dir_fd=root)
    found = os.fstat(folder)
    # Another user of the service's folder may have put one of his own there.
    if found.st_uid == os.geteuid() and not found.st_mode & 0o077 and not os.listdir(folder):
        seal(folder)
        return folder
    os.close(folder)
    raise TargetError(
        f"{name} was exchanged for another folder while it was made",
        "another program changes this folder; stop it, then repeat the command",
    )


def find_folder(root: int, record: Record) -> str | None:
    """Return the present name of a record's working folder, None if it is gone.

    Raises TargetError if identities cannot be read here, and OSError.
    """
    if record.identity is None:
        return None
    if is_same(root, record.folder, record.identity):
        return record.folder
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return next((name for name in names if is_same(root, name, record.identity)), None)


def open_folder(root: int, record: Record) -> int:
    """Open a record's working folder; raises TargetError if it is gone, and OSError."""
    name = find_folder(root, record)
    if name is not None:
        folder = os.open(name, OPEN_FOLDER, dir_fd=root)
        assert record.identity
        if is_same(folder, ".", record.identity):
            return folder
        os.close(folder)
    raise TargetError(
        f"the folder {record.folder} of an in-place restore is not in {record.path} any more",
        "nothing was changed; put it back there, then repeat the command",
    )


def open_root(record: Record, place: str | int | None = None) -> int:
    """Open the service's folder that a record belongs to; raises TargetError and OSError.

    `place` is where it is now, as a path or open.
    """
    place = record.path if place is None else place
    root = _open(place)
    try:
        same = is_same(root, ".", record.root)
    except BaseException:
        os.close(root)
        raise
    if same:
        return root
    os.close(root)
    raise TargetError(
        f"{record.path if isinstance(place, int) else place} is not the folder in which the"
        " restore was made",
        "nothing was changed; is the right disk mounted?",
    )


def open_sides(
    records: Sequence[Record], places: Places, opened: ExitStack
) -> list[tuple[Record, int, int]]:
    """Open the folder and the working folder of each root; `opened` closes them.

    `places` has the folders of the roots now, by label, if they are known, as paths or open. Raises
    TargetError and OSError.
    """
    sides = []
    for record in records:
        root = open_root(record, places.get(record.label))
        opened.callback(os.close, root)
        work = open_folder(root, record)
        opened.callback(os.close, work)
        sides.append((record, root, work))
    return sides


def own_folders(
    state_dir: str, place: str | int | None = None, never: Iterable[str] = ()
) -> set[tuple[int, int]]:
    """Return (device, inode) of the folders that walks leave out, because packrat writes there.

    These are `never`, as far as they exist, and the working folders of all services. `place` is
    where the service's folder is now, as a path or open, if the configuration has changed since, or
    if it is not mounted there any more. Only folders that a record names, and that still are the
    recorded ones, count.
    """
    found = folders(never)
    for root, record in recorded_roots(state_dir, place):
        try:
            name = find_folder(root, record)
        except TargetError:  # no handles here, so owner and mode must do
            name = record.folder if _is_closed(root, record.folder) else None
        except OSError:
            name = None
        with suppress(OSError):
            if name is not None:
                state = linux.state_of(root, name)
                found.add((state.device, state.inode))
    return found


def recorded_roots(state_dir: str, place: str | int | None = None) -> Iterator[tuple[int, Record]]:
    """Yield each record that has a working folder, with its service's folder open meanwhile."""
    for service in all_services(state_dir):
        try:
            records = read_records(state_dir, service)
        except TargetError:
            continue  # reported by every command that works with that service
        for record in records:
            first = record.path if place is None else place
            for at in dict.fromkeys((first, record.path)):
                try:
                    root = _open(at)
                except (OSError, TargetError):
                    continue
                try:
                    with suppress(OSError):
                        if _same_root(root, record):
                            yield root, record
                            break
                finally:
                    os.close(root)


def _open(place: str | int) -> int:
    """Open a folder by its path, or once more; raises TargetError and OSError."""
    return os.dup(place) if isinstance(place, int) else open_service(place)


def _same_root(root: int, record: Record) -> bool:
    try:
        return is_same(root, ".", record.root)
    except TargetError:
        return True  # cannot be decided here; the working folder decides


def _is_closed(root: int, name: str) -> bool:
    with suppress(OSError):
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and stat.S_IMODE(found.st_mode) == stat.S_IRWXU
        )
    return False
