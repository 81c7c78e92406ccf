"""Identity of a file, to check that it is still the very file that was recorded.

A file handle contains the generation of its inode, so a recycled inode has another one. The device
number is not part of an identity, because it may change at a reboot.
"""

from __future__ import annotations

import errno
import stat
from typing import Literal

import msgspec

from stages import linux
from stages.errors import TargetError

NO_HANDLES = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
"""The filesystem has no handles, the kernel has no such call, or seccomp forbids it."""

Kind = Literal["handle", "birth"]


class Identity(msgspec.Struct, frozen=True):
    """File handle; or inode, birth time and type where there are no handles."""

    kind: Kind
    value: str


def identify(folder: int, name: str, kind: Kind | None = None) -> Identity | None:
    """Return the identity of a name in an open folder, None if it does not exist.

    Without `kind`, the best available kind is used. Raises TargetError if the filesystem offers
    none, or not the given one; raises OSError.
    """
    try:
        if kind != "birth":
            try:
                number, value = linux.handle_of(folder, name)
                return Identity("handle", f"{number}:{value.hex()}")
            except OSError as error:
                if error.errno not in NO_HANDLES:
                    raise
        state = linux.state_of(folder, name)
    except FileNotFoundError:
        return None
    if kind == "handle":
        raise TargetError(
            "the file handles that the restore recorded cannot be read here",
            "run the command where the restore ran: this container or filesystem refuses them",
        )
    if state.birth is None:
        raise TargetError(
            "this filesystem has neither file handles nor birth times, so files cannot be told"
            " apart safely",
            "nothing was changed; restore to a folder with --to, then copy",
        )
    return Identity("birth", f"{state.inode}:{state.birth}:{stat.S_IFMT(state.mode):o}")


def is_same(folder: int, name: str, recorded: Identity) -> bool:
    """Return whether a name is still the recorded file; raises TargetError and OSError."""
    return identify(folder, name, recorded.kind) == recorded
