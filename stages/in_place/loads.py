"""Loads of restored dumps into databases, each recorded until it has succeeded.

The exchange of the folders records them, in the same write. So a restore or an undo that was killed
afterwards is finished by the next command.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from msgspec import structs
from pydantic import TypeAdapter

from stages.databases.any import AnyDatabase
from stages.databases.base import Server
from stages.errors import NotReady, SourceError
from stages.in_place.record import read_records, write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stages.databases.base import Database, Tools
    from stages.in_place.record import Load, Record

_ANY: TypeAdapter[AnyDatabase] = TypeAdapter(AnyDatabase)
INTERRUPTED = "it was interrupted"


def unloaded(state_dir: str, service: str) -> list[Record]:
    """Return the records of databases that are still to be loaded, oldest first.

    Raises TargetError.
    """
    records = read_records(state_dir, service)
    return [one for one in records if one.load and one.phase in ("swapped", "undone")]


def load_databases(
    state_dir: str,
    service: str,
    tools: Tools,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Load each database whose last attempt has not failed; raises SourceError.

    What fails is recorded, unless it was interrupted, or something is not ready, which may be over
    soon.
    `done` is called with the bytes of each dump.
    """
    for record in unloaded(state_dir, service):
        if record.load and not record.load.problem:
            try:
                _load(record, tools, done)
            except NotReady:
                raise
            except Exception as error:
                note_failed(state_dir, [record], error)
                raise
            _note_loaded(state_dir, record)


def _note_loaded(state_dir: str, record: Record) -> None:
    """Record that the dumps of a record are loaded: an earlier load of them is not needed any more.

    Raises TargetError.
    """
    assert record.load
    for other in unloaded(state_dir, record.service):
        if other.label == record.label and other.load:
            left = tuple(file for file in other.load.files if file not in record.load.files)
            load = structs.replace(other.load, files=left) if left else None
            write_record(state_dir, structs.replace(other, load=load))


def require_ready(state_dir: str, service: str) -> None:
    """Raise SourceError if the server of a database that is to be loaded does not run."""
    for record in unloaded(state_dir, service):
        if record.load and not record.load.problem:
            database = _database(record.load)
            if not _loads_when_stopped(database):
                database.require_ready()


def note_failed(state_dir: str, records: Iterable[Record], error: BaseException) -> None:
    """Record why databases were not loaded, so that only a person tries again.

    Raises TargetError.
    """
    why = str(error) if isinstance(error, Exception) else INTERRUPTED
    for record in records:
        if record.load and not record.load.problem:
            load = structs.replace(record.load, problem=why)
            write_record(state_dir, structs.replace(record, load=load))


def try_again(state_dir: str, records: Iterable[Record]) -> None:
    """Let `load_databases` load these databases once more; raises TargetError."""
    for record in records:
        assert record.load
        load = structs.replace(record.load, problem="")
        write_record(state_dir, structs.replace(record, load=load))


def unloaded_text(record: Record) -> tuple[str, str]:
    """Return what is wrong with a database that could not be loaded, and what to do."""
    assert record.load
    where = record.load.where
    again = f"packrat restore --undo {record.service}"
    accept = f"packrat restore --forget {record.service} keeps the database as it is now, and"
    if record.phase == "undone":
        text = f"an undo did not load {where}: {record.load.problem}"
        return text, f"{again} tries again; {accept} deletes the dump"
    text = f"a restore in place did not load {where}: {record.load.problem}"
    back = "brings back what was there before; the same restore again tries again"
    return text, f"{again} {back}; {accept} deletes what was there before"


def load_dump(
    database: Database, file: str, path: str, tools: Tools, settings: dict[str, str]
) -> int:
    """Load a dump that a restore has written, and return its bytes.

    Raises SourceError unless it is a regular file.
    """
    try:
        # An archive may have a symlink or a fifo there: nothing else of this machine is loaded.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as data:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SourceError(f"{path} is not a regular file", "the backup has no such dump")
            database.load(file, data, tools, settings)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", "try again") from error
    return found.st_size


def _load(record: Record, tools: Tools, done: Callable[[int], None]) -> None:
    assert record.load
    database = _database(record.load)
    if isinstance(database, Server) and not database.loads_when_stopped:
        database.wait_until_ready(tools)
    for file in sorted(record.load.files, key=database.loads_late):
        path = os.path.join(record.path, file)
        done(load_dump(database, file, path, tools, dict(record.load.settings)))


def _database(load: Load) -> Database:
    return _ANY.validate_python(load.database)


def _loads_when_stopped(database: Database) -> bool:
    return isinstance(database, Server) and database.loads_when_stopped
