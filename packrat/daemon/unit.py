"""systemd unit of the daemon.

It is restricted as far as a backup program can be. A restore in place writes anywhere and sets
owners, setuid bits and devices; commands around a backup use the machine's own /tmp, devices,
mounts and processes. So ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices, ProtectClock (which
brings a list of devices), ProtectProc, RestrictSUIDSGID and MemoryDenyWriteExecute are left out.

The daemon has a mount namespace of its own: it sees what the machine mounts, but what a command
mounts is seen by the daemon and its jobs only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from packrat.errors import Unusable
from specs.trust import TRUST_UID, trusted_uids, user_name

HARDENING = """\
StateDirectory=packrat
StateDirectoryMode=0700
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_BOOT CAP_SYS_TIME CAP_SYS_RAWIO CAP_WAKE_ALARM
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_BLOCK_SUSPEND CAP_BPF CAP_IPC_LOCK
CapabilityBoundingSet=~CAP_LEASE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_NET_ADMIN CAP_PERFMON
CapabilityBoundingSet=~CAP_SYSLOG CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYS_TTY_CONFIG
KeyringMode=private
NoNewPrivileges=yes
PrivateMounts=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# A command may unshare mounts. One that starts containers by itself (podman, bwrap) needs
# RestrictNamespaces=no: systemctl edit packrat.
RestrictNamespaces=mnt
SystemCallArchitectures=native
SystemCallFilter=~@module @reboot @swap @clock @raw-io @cpu-emulation @obsolete @debug
SystemCallErrorNumber=EPERM
"""
"""Restrictions of the system unit; a user's daemon has none of these rights anyway."""

UNIT = """\
[Unit]
Description=Packrat, encrypted backups of homelab services
Documentation=man:systemd.service(5)
After=network-online.target docker.service
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} daemon --config {config}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=2min
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2 3
# The daemon ends its jobs itself, in order, and starts their containers again.
KillMode=mixed
TimeoutStopSec=2min
UMask=0077
{environment}LockPersonality=yes
RestrictRealtime=yes
{hardening}
[Install]
WantedBy={target}
"""


PASSED_ON = ("PACKRAT_STATE_DIR", TRUST_UID)
"""Variables of the caller that the unit keeps: without them, the daemon would use another state."""


def unit_text(config_file: str, *, root: bool) -> str:
    """Return the text of the unit."""
    kept = [(name, os.environ[name]) for name in PASSED_ON if os.environ.get(name)]
    return UNIT.format(
        command=_command(),
        environment="".join(f"Environment={_quoted(f'{name}={text}')}\n" for name, text in kept),
        config=_quoted(os.path.abspath(config_file)),
        hardening=HARDENING if root else "",
        target="multi-user.target" if root else "default.target",
    )


def install(config_file: str, *, only_print: bool) -> None:
    """Write the unit and print how to start it; raises Unusable."""
    root = os.geteuid() == 0
    if root:
        _require_trusted(config_file)
    text = unit_text(config_file, root=root)
    if only_print:
        print(text, end="")
        return
    folder = "/etc/systemd/system" if root else os.path.expanduser("~/.config/systemd/user")
    path = os.path.join(folder, "packrat.service")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # no secret; for `systemctl cat`
    except OSError as error:
        raise Unusable(
            f"cannot write {path}: {error.strerror}",
            "print the unit with --print, and put it where systemd looks",
        ) from None
    user = "" if root else " --user"
    if shutil.which("systemctl"):
        subprocess.run(  # noqa: S603 (our own words)
            ["systemctl", *user.split(), "daemon-reload"],  # noqa: S607
            check=False,
            capture_output=True,
        )
    print(f"{path} is written. Start it, now and with the machine:")
    print(f"  systemctl{user} enable --now packrat")
    if not root:
        name = user_name(os.geteuid()).partition(" ")[0]
        print(f"and let it run when you are not logged in:\n  sudo loginctl enable-linger {name}")
        print(
            f"It backs up only what {name} can read, and needs the group docker to stop containers."
            " For everything on this machine, install it as root: see docs/daemon.md"
        )


def _require_trusted(config_file: str) -> None:
    """Raise Unusable if the daemon, which is not started by sudo, would refuse the configuration.

    Its key and its state are root's as well, not those of the user behind sudo.
    """
    owner = os.stat(config_file).st_uid
    if owner not in trusted_uids(behind_sudo=False):
        raise Unusable(
            f"{config_file} belongs to {user_name(owner)}, and the system's daemon runs as root",
            "move it: install -m 600 FILE /etc/packrat/config.yaml; or run packrat service install"
            " without sudo, for a daemon of that user",
        )


def _command() -> str:
    """Return the command that starts this packrat."""
    program = os.path.join(os.path.dirname(sys.executable), "packrat")
    if os.access(program, os.X_OK):
        return _quoted(program)
    return f"{_quoted(sys.executable)} -P -m packrat"


def _quoted(path: str) -> str:
    """Quote a path so that systemd takes it as one literal word."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(c in text for c in " \t'\"\\;") else text
