"""Ownership rules for the files that Packrat trusts: configuration, key, state and spool.

Packrat often runs as root, and what these files say is executed. So every component of their paths
must belong to a trusted user and must not be writable by anybody else. A sticky folder such as /tmp
is accepted on the way, because only the owner can replace an entry of it. Since the whole path is
checked, only a trusted user could change it between the check and the use.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from specs.faults import ConfigFaults, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRUST_UID = "PACKRAT_TRUST_UID"
"""Variable that names one more trusted user, for example the owner of a configuration that is
mounted into a container."""
MOST_LINKS = 40
"""Symbolic links followed in one path, as in Linux."""


class Distrust(Struct, frozen=True):
    """The reason why a path is not trusted."""

    path: str
    """The offending component: the path itself, or a folder or a link on the way to it."""
    reason: str
    hint: str
    uid: int
    """The owner of the component."""

    def fault(self) -> Fault:
        """Return the reason as a fault of the configuration."""
        return Fault(self.path, 0, 0, "", self.reason, self.hint)


def trusted_uids(*, behind_sudo: bool = True) -> frozenset[int]:
    """Return the uids of trusted users.

    These are root, the caller, the user behind sudo, and the one in $PACKRAT_TRUST_UID.

    Raises:
        ConfigFaults: $PACKRAT_TRUST_UID is not a uid.
    """
    caller = os.geteuid()
    uids = {0, caller}
    sudo = os.environ.get("SUDO_UID", "")
    if behind_sudo and caller == 0 and sudo.isdecimal():
        uids.add(int(sudo))
    if named := os.environ.get(TRUST_UID, ""):
        if not (named.isascii() and named.isdecimal()):
            hint = "write the number that `id -u NAME` prints"
            raise ConfigFaults([Fault(f"${TRUST_UID}", 0, 0, "", "is not a uid", hint)])
        uids.add(int(named))
    return frozenset(uids)


def distrust(path: str) -> Distrust | None:
    """Return why a path is not trusted, or None. A part that does not exist yet is fine."""
    uids = trusted_uids()
    pending = os.path.join(os.getcwd(), path).split("/")[::-1]  # `link/..` is not lexical
    at, links = "/", 0
    if found := _judge(at, os.lstat(at), uids, last=False):
        return found
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, name)
        try:
            status = os.lstat(here)
            target = os.readlink(here) if stat.S_ISLNK(status.st_mode) else None
        except (OSError, ValueError):  # opening the path reports the error
            return None
        if found := _judge(here, status, uids, last=not any(pending)):
            return found
        if target is None:
            at = here
            continue
        links += 1
        if links > MOST_LINKS:
            return None
        pending += target.split("/")[::-1]
        at = "/" if target.startswith("/") else at
    return None


def distrust_folder(path: str) -> Distrust | None:
    """Return why a folder of Packrat's own, or an entry directly in it, is not trusted."""
    if found := distrust(path):
        return found
    uids = trusted_uids()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if found := _judge(entry.path, status, uids, last=True):
                    return found
    except OSError:  # it does not exist yet, or an entry has just been deleted
        return None
    return None


def distrusted(files: Iterable[str], folders: Iterable[str]) -> Iterator[Fault]:
    """Yield one fault for each of Packrat's files and folders that is not trusted."""
    found = [*map(distrust, files), *map(distrust_folder, folders)]
    yield from {one.path: one.fault() for one in found if one}.values()


def user_name(uid: int) -> str:
    """Return a user's name with the uid, for messages."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _judge(
    path: str, status: os.stat_result, uids: frozenset[int], *, last: bool
) -> Distrust | None:
    if status.st_uid not in uids:
        reason = f"belongs to {user_name(status.st_uid)}, who could run commands through packrat"
        hint = (
            f"chown {user_name(os.geteuid()).partition(' ')[0]} {path}, or, if that user is to be"
            f" trusted, set {TRUST_UID}={status.st_uid}"
        )
        return Distrust(path, reason, hint, status.st_uid)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode) or not _writable_by_others(path, status, uids):
        return None
    if stat.S_ISDIR(status.st_mode) and mode & stat.S_ISVTX and not last:
        return None
    reason = f"can be written by other users (mode {mode:04o}), who could run commands through it"
    return Distrust(path, reason, f"chmod go-w {path}", status.st_uid)


def _writable_by_others(path: str, status: os.stat_result, uids: frozenset[int]) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not (
        _is_private(status.st_gid, uids) and not _has_acl(path)
    )


def _is_private(gid: int, uids: frozenset[int]) -> bool:
    """Return whether a group has trusted members only.

    Many distributions give each user a group of their own and a umask of 002.
    """
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return False
    members |= {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid}
    return members <= uids


def _has_acl(path: str) -> bool:
    """Return whether a file has an ACL: the group's bits are then the mask of all its entries."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False
