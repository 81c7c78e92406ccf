"""Accounts of this machine, and the environment of a command that runs under one."""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

from msgspec import Struct

from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSED = frozenset({"PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "XDG_RUNTIME_DIR"})
PASSED_PREFIXES = ("LC_", "DOCKER_")
OF_THE_CALLER = frozenset({"HOME", "USER", "SHELL", "XDG_RUNTIME_DIR"})
"""Variables that do not apply to another user."""
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Account(Struct, frozen=True):
    """User that a command can run as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str

    @property
    def is_caller(self) -> bool:
        """True if packrat runs as this user."""
        return self.uid == os.geteuid()


def account_of(user: str) -> Account:
    """Find the account that `user:` names: NAME, UID, or either of them with :GROUP.

    A uid without an account, which is usual for the user of a container, has the group of the same
    number.

    Raises:
        SourceError: There is no such user or group on this machine.
    """
    who, _, group = user.partition(":")
    try:
        entry = pwd.getpwuid(int(who)) if who.isdecimal() else pwd.getpwnam(who)
    except KeyError:
        if not who.isdecimal():
            hint = "write a name that `getent passwd` shows, or a uid"
            raise SourceError(f"there is no user {who} on this machine", hint) from None
        found = Account(int(who), int(who), (), who, "/", "/bin/sh")
    else:
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        found = Account(
            entry.pw_uid, entry.pw_gid, groups, entry.pw_name, entry.pw_dir, entry.pw_shell
        )
    if not group:
        return found
    try:
        gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        hint = "write a name that `getent group` shows, or a gid"
        raise SourceError(f"there is no group {group} on this machine", hint) from None
    return Account(found.uid, gid, (gid,), found.name, found.home, found.shell)


def command_environment(own: Mapping[str, str], account: Account | None) -> dict[str, str]:
    """Return the environment of a command on this machine.

    It has a fixed part of packrat's environment, without packrat's secrets, and `own`.
    """
    other = account is not None and not account.is_caller
    passed = {
        name: value
        for name, value in os.environ.items()
        if (name in PASSED or name.startswith(PASSED_PREFIXES))
        and not (other and name in OF_THE_CALLER)
    }
    user = account or account_of(str(os.geteuid()))
    usual = {"PATH": USUAL_PATH, "HOME": user.home, "USER": user.name, "SHELL": user.shell}
    return usual | passed | dict(own)
