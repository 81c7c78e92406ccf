"""SQLite: a copy by its backup API, made by a process that runs as the owner of the file."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Literal

from stages.databases.base import BLOCK_BYTES, Database, Tools, blocks
from stages.empty_folder import empty_folder
from stages.errors import SourceError, TargetError
from stages.restore_target.handles import open_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.databases.base import Settings

CHECK_SECONDS = 0.1
SCRATCH = "/var/tmp"  # noqa: S108 (the folder made in it is private)
"""Where copies are made: the owner of a file may not enter Packrat's own folders."""
PREFIX = "packrat-copy-"
LEFT_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LEFT_SECONDS = 60.0
"""Age from which a copy that no process has locked was left by one that was killed."""
SIDE_FILES = ("", "-wal", "-shm", "-journal")

COPY = """
import ctypes, os, sqlite3, struct, sys
source, target, parent, uid, gid, *folders = sys.argv[1:]
if int(uid) != os.geteuid():
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: a load must not go on beside the next one
if os.getppid() != int(parent):
    sys.exit("packrat was killed")

def confine():
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    every = (1 << 13) - 1  # rights to files in the first version of Landlock
    rules = call(444, ctypes.c_char_p(struct.pack("=Q", every)), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    for folder in map(int, folders):
        beneath = struct.pack("=Qi", every, folder)
        if call(445, rules, 1, ctypes.c_char_p(beneath), 0):
            return False
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    return not call(446, rules, 0)

if not confine() and os.geteuid() == 0:
    sys.exit("its owner is root, and this kernel has no Landlock to confine SQLite to its folder")
try:
    with sqlite3.connect(source, timeout=60) as old, sqlite3.connect(target, timeout=60) as new:
        old.backup(new)
        if new.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            sys.exit("the copy is not sound: the database is damaged")
except sqlite3.Error as error:
    sys.exit(str(error))
"""
"""Runs in an interpreter of its own: what a service's user can write is not parsed as root.

It becomes that user by itself, who may not be able to reach Packrat's interpreter. Landlock
confines it to the folder of the database, which root in a container may own: SQLite follows
symlinks, and deletes the file that a journal names.
"""


class SQLite(Database):
    """One file of SQLite."""

    kind: Literal["sqlite"]
    path: str

    @property
    def where(self) -> str:
        """The file."""
        return f"SQLite {self.path}"

    @property
    def own_files(self) -> tuple[str, ...]:
        """Real paths of the database and of the files that SQLite keeps beside it."""
        folder, name = os.path.split(self.path)
        return tuple(os.path.join(os.path.realpath(folder), name) + end for end in SIDE_FILES)

    @property
    def size(self) -> int:
        """Bytes of the database now; 0 if it is not there."""
        try:
            return sum(os.lstat(path).st_size for path in self.own_files[:2])
        except OSError:
            return 0

    def require_ready(self) -> None:
        """Raise SourceError if the file is not there, or its copy has no room."""
        self._owner()
        require_room(self.where, self.size)

    def files(self, tools: Tools) -> list[str]:  # noqa: ARG002
        """Return the one file of a dump."""
        return [os.path.basename(self.path)]

    def dump(self, file: str, tools: Tools) -> Iterator[bytes]:
        """Yield a copy; raises SourceError unless it is whole."""
        owner = self._owner()
        require_room(self.where, self.size)
        with scratch_folder(owner) as folder:
            copy = os.path.join(folder, "copy")
            self._copy("dump", self.path, copy, folder, owner, tools)
            # The owner could have put anything there: a link, or a fifo without a writer.
            fd = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as made:
                if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_uid != owner.st_uid:
                    raise SourceError(f"the copy of {file} was replaced while it was made", "")
                yield from blocks(made)

    def load(self, file: str, data: BinaryIO, tools: Tools, settings: Settings) -> None:  # noqa: ARG002
        """Replace the content of the present database; raises SourceError."""
        owner = self._owner()
        size = data.seek(0, os.SEEK_END)
        data.seek(0)
        require_room(self.where, size)
        with scratch_folder(owner) as folder:
            copy = os.path.join(folder, "copy")
            with open(copy, "xb") as made:
                os.fchmod(made.fileno(), 0o600)
                os.fchown(made.fileno(), owner.st_uid, owner.st_gid)
                shutil.copyfileobj(data, made, BLOCK_BYTES)
            self._copy("load", copy, self.path, folder, owner, tools)

    def _owner(self) -> os.stat_result:
        """Return the status of the file; raises SourceError."""
        with self._opened() as (_, found):
            return found

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, os.stat_result]]:
        """Open its folder, and yield that with the status of the file; raises SourceError."""
        folder, name = os.path.split(self.path)
        try:
            fd = open_service(folder)
        except (OSError, TargetError) as error:
            raise self._unreadable(error) from error
        try:
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                raise self._unreadable(error) from error
            if not stat.S_ISREG(found.st_mode):
                raise SourceError(f"{self.where} is not a regular file", "name the database itself")
            yield fd, found
        finally:
            os.close(fd)

    def _unreadable(self, error: Exception) -> SourceError:
        what = getattr(error, "strerror", None) or error
        return SourceError(f"cannot open {self.where}: {what}", "correct its path")

    def _copy(
        self, what: str, source: str, target: str, scratch: str, owner: os.stat_result, tools: Tools
    ) -> None:
        """Copy one database into another as `owner`; raises SourceError."""
        work = os.open(scratch, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with self._opened() as (folder, found):
                if found.st_uid != owner.st_uid:
                    raise SourceError(f"{self.where} was replaced meanwhile", "try again")
                numbers = map(str, (os.getpid(), owner.st_uid, owner.st_gid, folder, work))
                process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-I", "-S", "-c", COPY, source, target, *numbers],
                    cwd="/",
                    env={},
                    umask=0o077,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(folder, work),
                )
        finally:
            os.close(work)
        try:
            while process.poll() is None:
                tools.check()
                time.sleep(CHECK_SECONDS)
        finally:
            process.kill()
            _, said = process.communicate()
        if process.returncode:
            [*_, last] = ["", *said.decode(errors="replace").strip().splitlines()]
            raise SourceError(
                f"the {what} of {self.where} failed: {last[:300]}",
                "make sure that its owner may write to its folder and that the disk has room",
            )


def require_room(where: str, size: int) -> None:
    """Raise SourceError if the temporary copy does not fit."""
    free = shutil.disk_usage(SCRATCH).free
    if free < size:
        raise SourceError(
            f"cannot copy {where}: it has {size >> 20:,} MiB, and {SCRATCH} has"
            f" {free >> 20:,} MiB free",
            f"make room in {SCRATCH}",
        )


@contextmanager
def scratch_folder(owner: os.stat_result) -> Iterator[str]:
    """Make a folder for one user; it is deleted at the end, or after a kill by the next one."""
    _delete_left()
    # Nobody else can enter the outer one's content, and the owner cannot replace the inner one.
    outer = tempfile.mkdtemp(prefix=PREFIX, dir=SCRATCH)
    lock = os.open(outer, LEFT_FOLDER)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.chmod(outer, 0o711)  # noqa: S103
        inner = os.path.join(outer, "work")
        os.mkdir(inner, 0o700)
        os.chown(inner, owner.st_uid, owner.st_gid)
        yield inner
    finally:
        _delete(outer, lock)
        os.close(lock)


def _delete_left() -> None:
    """Delete the folders of processes that were killed: each holds a copy of a database."""
    for name in os.listdir(SCRATCH):
        if not name.startswith(PREFIX):
            continue
        path = os.path.join(SCRATCH, name)
        with suppress(OSError):  # anybody can make one of that name, and delete it again
            lock = os.open(path, LEFT_FOLDER)
            try:
                found = os.fstat(lock)
                old = found.st_mtime < time.time() - LEFT_SECONDS
                if old and found.st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _delete(path, lock)
            finally:
                os.close(lock)


def _delete(path: str, folder: int) -> None:
    """Delete a folder with what its user has put into it, at any depth, as far as possible."""
    empty_folder(folder)
    with suppress(OSError):
        os.rmdir(path)
