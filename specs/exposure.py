"""Checks for valid settings that expose something to other users or machines."""

from __future__ import annotations

import ipaddress
import os
import stat
from typing import TYPE_CHECKING

from specs.document import read_document
from specs.load import secrets_at
from specs.trust import distrust, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.config import Config
    from specs.faults import Fault

COMMANDS = ("pre_backup", "post_backup", "post_restore")


def exposed_secrets(config: Config, file: str) -> Iterator[Fault]:
    """Yield a fault for each literal secret in a file that every user can read, with its line."""
    if not is_world_readable(file):
        return
    document = read_document(file)
    for path, secret in secrets_at(config):
        if secret.form == "text" and secret.source:
            message = "a literal secret in a file that every user of this machine can read"
            yield document.fault(path, message, f"chmod 600 {file}, or write {{file: PATH}}")


def is_world_readable(file: str) -> bool:
    """Return whether every user can read a file, by its mode and those of the folders above."""
    path = os.path.realpath(file)
    try:
        if not os.stat(path).st_mode & stat.S_IROTH:
            return False
        while (path := os.path.dirname(path)) != "/":
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return False
    except OSError:
        return False
    return True


def risky_commands(config: Config) -> Iterator[str]:
    """Yield a hint for each command that root would run in a folder that another user can write.

    That user can plant a symbolic link where the command writes, for example at a dump.
    """
    if os.geteuid() != 0:
        return
    for name, service in config.services.items():
        for kind in COMMANDS:
            command = getattr(service, kind)
            if command is None or command.container or command.user is not None:
                continue
            folder = service.working_dir_of(command) or "/"
            if not os.path.isdir(folder) or not (found := distrust(folder)):
                continue
            owner = os.stat(folder).st_uid
            who = user_name(found.uid) if found.uid else "other users"
            hint = f"user: {owner}" if owner else "working_dir: a folder that only root can write"
            yield (
                f"services.{name}.{kind}: root runs it in {folder}, where {who} can write and plant"
                f" a link that root follows; set {hint}"
            )


def is_loopback(listen: str) -> bool:
    """Return whether an address with a port can be reached from this machine only."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def exposed_metrics(config: Config) -> str:
    """Return a warning if other machines can read the metrics, else an empty string."""
    if config.listen is None or is_loopback(config.listen):
        return ""
    return (
        f"listen: {config.listen} is not a loopback address: anyone who can connect to it can read"
        " the names and times of all services, without a password"
    )
