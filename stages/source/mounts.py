"""Mounted filesystems, as the kernel lists them: proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from stages import linux

if TYPE_CHECKING:
    from collections.abc import Iterator

PSEUDO = frozenset((
    "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore",
    "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs",
))  # fmt: skip
"""Types of filesystems without files of their own; devtmpfs has the magic number of tmpfs."""


class Mount(Struct, frozen=True):
    """Mounted filesystem."""

    id: int
    point: str
    """Absolute path of the folder or file that it is mounted on."""
    type: str


def mounts() -> Iterator[Mount]:
    """Yield what is mounted for this process; raises OSError without /proc."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields, _, rest = line.partition(b" - ")
            number, _, _, _, point, *_ = fields.split(b" ")
            kind = rest.split(b" ", 1)[0].decode(errors="replace")
            yield Mount(int(number), os.fsdecode(_unescape(point)), kind)


def mount_of(fd: int) -> Mount | None:
    """Return the mount that an open file is in; None if unknown, or no longer mounted."""
    try:
        number = linux.mount_id(fd)
        return next((mount for mount in mounts() if mount.id == number), None)
    except (OSError, KeyError, ValueError):
        return None


def pseudo_type(fd: int) -> str:
    """Return the type of the pseudo filesystem that an open folder is in, "" for any other."""
    mount = mount_of(fd)
    return mount.type if mount and mount.type in PSEUDO else ""


def _unescape(field: bytes) -> bytes:
    """Undo the octal escapes of a path."""
    for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, byte)
    return field
