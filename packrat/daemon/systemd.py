"""Notifications to systemd about the state of the daemon (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(*words: str) -> None:
    """Send words such as READY=1; do nothing without systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.connect("\0" + address[1:] if address.startswith("@") else address)
        line.sendall("\n".join(words).encode())


def reloading() -> None:
    """Announce that the configuration is read again; READY=1 must follow."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds() -> float | None:
    """Return half the watchdog interval of systemd, or None if there is no watchdog."""
    given = os.environ.get("WATCHDOG_USEC", "")
    return int(given) / 2e6 if given.isdigit() else None
