"""Lock for one run of a service at a time: a kernel lock, which ends with its process."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from packrat.errors import Locked, Unusable
from packrat.text.report import time_text
from vault.archive.format import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

GLANCES = 5
GLANCE_SECONDS = 0.02


@contextmanager
def service_lock(state_dir: str, service: str, now: float) -> Iterator[None]:
    """Hold the lock of a service; raises Locked with the name of the holder."""
    folder = os.path.join(state_dir, "locks")
    # Never deleted: a lock on a file that another process has just replaced protects nothing.
    file = os.path.join(folder, f"{service}.lock")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unusable(
            f"state folder {state_dir}: {error.strerror}",
            "state_dir in the configuration, or $PACKRAT_STATE_DIR, names one to write to",
        ) from None
    try:
        try:
            _take(fd)
        except BlockingIOError:
            holder = os.pread(fd, 400, 0).decode(errors="replace").strip() or "another process"
            raise Locked(
                f"another run of {service} is in progress: {holder}; wait for it, or stop it"
            ) from None
        words = " ".join(["packrat", *sys.argv[1:]])[:200]
        holder = f"process {os.getpid()} ({words}) since {time_text(stamp(now))}\n"
        with suppress(OSError):  # on a full or failing disk only the name is missing
            os.ftruncate(fd, 0)
            os.pwrite(fd, holder.encode(errors="backslashreplace"), 0)
        yield
        with suppress(OSError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def is_running(state_dir: str, service: str) -> bool:
    """Return whether a run of a service is going on."""
    try:
        fd = os.open(os.path.join(state_dir, "locks", f"{service}.lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    """Take a lock without waiting, except for the moment in which `is_running` tests it."""
    for _ in range(GLANCES):
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(GLANCE_SECONDS)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
