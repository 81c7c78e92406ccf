"""Fault injection: a failure, or the kill of the process, at the n-th call that changes a disk.

It counts the calls from modules of one package, also through `HELPERS`, to the functions in `CALLS`
and in `linux`.
"""

import errno
import os
import signal
import sys
from contextlib import contextmanager

from stages import linux

CALLS = (
    "open",
    "pwrite",
    "fsync",
    "mkdir",
    "unlink",
    "rmdir",
    "rename",
    "replace",
    "link",
    "fchmod",
    "fchown",
)
LINUX_CALLS = ("exchange", "rename_noreplace", "syncfs", "handle_of", "state_of")
HELPERS = ("stages.empty_folder", "stages.state_file", "vault.durable", "tempfile")
KILL = "SIGKILL"
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}


class Fault:
    """Counter of calls, which fails the n-th, or with `lasting` all from the n-th on."""

    def __init__(self, number=0, how="EIO", package="stages.in_place", *, lasting=False):
        self.number, self.how, self.package, self.lasting = number, how, package, lasting
        self.count = 0
        self.hit = ""

    def meet(self, name):
        """Count a call from the package; fail or kill the process at the n-th."""
        frame = sys._getframe(2)
        while frame.f_back and frame.f_globals["__name__"] in HELPERS:
            frame = frame.f_back
        if not frame.f_globals["__name__"].startswith(self.package):
            return
        self.count += 1
        if self.count == self.number or (self.lasting and self.number and self.count > self.number):
            self.hit = self.hit or name
            if self.how == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(ERRORS[self.how], os.strerror(ERRORS[self.how]), name)


@contextmanager
def injected(fault):
    """Inject the fault into the counted functions."""
    real = {(os, name): getattr(os, name) for name in CALLS}
    real |= {(linux, name): getattr(linux, name) for name in LINUX_CALLS}

    def wrapped(name, function):
        def call(*arguments, **options):
            fault.meet(name)
            return function(*arguments, **options)

        return call

    for (module, name), function in real.items():
        setattr(module, name, wrapped(name, function))
    try:
        yield fault
    finally:
        for (module, name), function in real.items():
            setattr(module, name, function)
