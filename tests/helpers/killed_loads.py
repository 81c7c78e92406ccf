"""Moments at which a restore in place of databases, or its undo, is killed."""

import errno
import os
import signal
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from stages import dump, linux, set_aside
from stages.databases.mariadb import MariaDB
from stages.databases.postgres import Postgres
from stages.databases.redis import Redis
from stages.databases.sqlite import SQLite
from stages.in_place import loads, restore, undo

ENGINES = (Postgres, MariaDB, Redis, SQLite)
OLD_STATE = ("dump begins", "half dumped", "dumped", "half exchanged")
"""Moments after which the state before is there again, or still."""
NEW_STATE = ("exchanged", "load begins", "half loaded", "loaded", "all loaded")
"""Moments after which the next command loads what is not loaded yet."""
MOMENTS = (*OLD_STATE, *NEW_STATE)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(*_, **__):
    raise OSError(errno.EIO, "Input/output error")


class Half:
    """File whose reader ends when half of it has been read, as `end` does."""

    def __init__(self, file, end):
        self._file, self._half = file, os.fstat(file.fileno()).st_size // 2
        self._end = end

    def read(self, count):
        if self._file.tell() >= self._half:
            self._end()
        return self._file.read(min(count, max(self._half - self._file.tell(), 1)))

    def __getattr__(self, name):
        return getattr(self._file, name)


def half_loaded(end):
    """Return a wrapper of a load, of which only half of the dump can be read."""

    def wrap(real):
        def run(self, file, data, tools, settings):
            # The roles are loaded before, which is no half.
            real(self, file, data if file == "globals.sql" else Half(data, end), tools, settings)

        return run

    return wrap


@contextmanager
def loads_fail():
    """Let every load fail in the middle, as on a disk that cannot be read."""
    with ExitStack() as patched:
        for engine in ENGINES:
            load = half_loaded(fail)(engine.load)
            patched.enter_context(patch.object(engine, "load", load))
        yield


def die_at(moment):
    """Patch this process, which must be a child of the test, to die at a moment."""

    def replace(owner, name, wrap):
        real = getattr(owner, name)
        patch.object(owner, name, wrap(real)).start()

    def killed(owner, name):
        replace(owner, name, lambda _: die)

    def killed_after(owner, name):
        def wrap(real):
            def run(*args, **more):
                real(*args, **more)
                die()

            return run

        replace(owner, name, wrap)

    def half_dumped(real):
        def run(self, file, tools):
            piece = next(real(self, file, tools))
            yield piece[: len(piece) // 2 + 1]
            die()

        return run

    match moment:
        case "dump begins":
            killed(set_aside, "write_dump")
        case "half dumped":
            for engine in ENGINES:
                replace(engine, "dump", half_dumped)
        case "dumped":
            killed(restore, "Survey")
            killed(undo, "Survey")
        case "half exchanged":
            killed_after(linux, "exchange")
        case "exchanged":
            killed(dump, "load_databases")
        case "load begins":
            for engine in ENGINES:
                replace(engine, "load", lambda _: die)
        case "half loaded":
            for engine in ENGINES:
                replace(engine, "load", half_loaded(die))
        case "loaded":
            killed(loads, "write_record")
        case "all loaded":
            killed_after(dump, "load_databases")
