"""Run a command under the restrictions of a systemd unit, where systemd itself does not run.

`python hardened.py UNIT COMMAND…`. It knows the settings that packrat's unit has; at any other one
it fails, so that no test is passed under fewer restrictions than the unit has.
"""

import ctypes
import errno
import os
import subprocess
import sys

LIFE = {"Type", "NotifyAccess", "ExecStart", "ExecReload", "WatchdogSec", "Restart", "RestartSec",
        "RestartPreventExitStatus", "KillMode", "TimeoutStopSec"}  # fmt: skip
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NO_NEW_PRIVS = 3  # an attribute of libseccomp, on by default
EQUAL, UNEQUAL = 4, 1
REALTIME = (1, 2, 6)  # FIFO, RR, DEADLINE


class Argument(ctypes.Structure):
    """libseccomp's scmp_arg_cmp."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]  # fmt: skip


class Filter:
    """System calls that are refused with EPERM."""

    def __init__(self):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.made = ctypes.c_void_p(self.library.seccomp_init(ALLOW))
        self.library.seccomp_attr_set(self.made, NO_NEW_PRIVS, 0)

    def refuse(self, name, *arguments):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        rules = (Argument * max(len(arguments), 1))(*arguments)
        if number > 0:  # this processor has it
            add = self.library.seccomp_rule_add_array
            assert add(self.made, REFUSE, number, len(arguments), rules) == 0, name

    def load(self):
        assert self.library.seccomp_load(self.made) == 0


def settings(unit):
    """Give the restrictions of a unit file."""
    with open(unit) as file:
        service = file.read().partition("[Service]\n")[2].partition("\n[")[0]
    lines = [line.partition("=") for line in service.splitlines() if line[:1].isalpha()]
    return {name: value for name, _, value in lines if name not in LIFE}


def calls(group):
    """Give the system calls of a group such as @clock, as systemd itself knows them."""
    command = ["systemd-analyze", "syscall-filter", group]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    for line in map(str.strip, listed[1:]):
        if line.startswith("@"):
            yield from calls(line)
        elif line and not line.startswith("#"):
            yield line


def main():
    unit, *command = sys.argv[1:]
    found, refused = settings(unit), Filter()
    dropped = found.pop("CapabilityBoundingSet").removeprefix("~").lower().split()
    for group in found.pop("SystemCallFilter").removeprefix("~").split():
        for name in calls(group):
            refused.refuse(name)
    assert found.pop("SystemCallErrorNumber") == "EPERM"
    assert found.pop("LockPersonality") == found.pop("RestrictRealtime") == "yes"
    refused.refuse("personality", Argument(0, UNEQUAL, 0))
    for policy in REALTIME:
        refused.refuse("sched_setscheduler", Argument(1, EQUAL, policy))
    assert not found, f"hardened.py does not know {', '.join(found)}"
    refused.load()
    bounding = ",".join(f"-{name.removeprefix('cap_')}" for name in dropped)
    os.execvp("setpriv", ["setpriv", "--bounding-set", bounding, *command])


if __name__ == "__main__":
    main()
