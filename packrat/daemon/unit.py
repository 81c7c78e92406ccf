"""The systemd unit of the daemon.

It is hardened as far as that surprises nobody: commands before a backup are anybody's, a restore in
place writes anywhere and sets owners, setuid bits and devices, and what is mounted must be the
machine's own. So there is nothing here that gives the daemon file systems, devices or a /tmp of its
own, no NoNewPrivileges (sudo in a command) and no UMask (the dumps that a command writes). What
there is, tests/helpers/hardened.py puts on without systemd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from packrat.errors import Unusable

HARDENING = """\
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_BOOT CAP_SYS_TIME CAP_SYS_RAWIO CAP_WAKE_ALARM
SystemCallFilter=~@module @reboot @swap @clock @raw-io @cpu-emulation @obsolete
SystemCallErrorNumber=EPERM
"""
"""Only for the machine's own unit: an unprivileged one may none of this anyway."""

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
# The daemon itself ends its jobs, in order, with their containers up again.
KillMode=mixed
TimeoutStopSec=2min
LockPersonality=yes
RestrictRealtime=yes
{hardening}
[Install]
WantedBy={target}
"""


def unit_text(config_file: str, *, root: bool) -> str:
    """Give the unit's text."""
    return UNIT.format(
        command=_command(),
        config=_quoted(os.path.abspath(config_file)),
        hardening=HARDENING if root else "",
        target="multi-user.target" if root else "default.target",
    )


def install(config_file: str, *, only_print: bool) -> None:
    """Write the unit, and say how to start it; raises Unusable."""
    root = os.geteuid() == 0
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
        print("and let it run when you are not logged in:\n  loginctl enable-linger")


def _command() -> str:
    """Give how this very packrat is started."""
    program = os.path.join(os.path.dirname(sys.executable), "packrat")
    if os.access(program, os.X_OK):
        return _quoted(program)
    return f"{_quoted(sys.executable)} -P -m packrat"


def _quoted(path: str) -> str:
    """Write a path so that systemd takes it as one word, as it stands."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(c in text for c in " \t'\"\\;") else text
