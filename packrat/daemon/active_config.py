"""Configuration in force: the last valid one, even if the file is now broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from specs.document import IN_FORCE, MEMFD

if TYPE_CHECKING:
    from specs.config import Config


class InForce:
    """The last valid configuration, and its text for the daemon's jobs.

    The jobs read the same text as the daemon, from an anonymous file that they inherit.
    """

    def __init__(self, file: str) -> None:
        """Read the file; raises ConfigFaults."""
        self.file = os.path.abspath(file)
        self._fd = -1
        self._seen: object = None
        self.config: Config
        self.read()

    @property
    def changed(self) -> bool:
        """True if the file has changed since it was last read."""
        return _signature(self.file) != self._seen

    def read(self) -> None:
        """Read the file again; raises ConfigFaults and then keeps the old configuration."""
        from specs.load import load_config

        self._seen = _signature(self.file)
        try:
            with open(self.file, "rb") as file:
                text = file.read()
        except OSError:
            text = b""  # the loader reports why
        config = load_config(self.file)
        old, self._fd = self._fd, os.memfd_create(MEMFD, os.MFD_CLOEXEC)
        with open(self._fd, "wb", closefd=False) as file:
            file.write(text)
        if old >= 0:
            os.close(old)
        self.config = config

    @property
    def env(self) -> dict[str, str]:
        """Environment variable with the location of the text, for a child."""
        return {IN_FORCE: f"{self._fd}:{self.file}"}

    @property
    def files(self) -> tuple[int, ...]:
        """File descriptors that a child inherits."""
        return (self._fd,)


def _signature(file: str) -> object:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
