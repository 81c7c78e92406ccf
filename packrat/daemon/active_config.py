"""The configuration in force: the last valid one, whatever the file says now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from specs.document import IN_FORCE, MEMFD

if TYPE_CHECKING:
    from specs.config import Config


class InForce:
    """A configuration that changes only from one that is right to another that is right.

    The jobs read the text that the daemon has read, from a file that only has a descriptor.
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
        """Whether the file has changed since it was last looked at."""
        return _looks(self.file) != self._seen

    def read(self) -> None:
        """Read the file again; raises ConfigFaults, and then the old one stays in force."""
        from specs.load import load_config

        self._seen = _looks(self.file)
        try:
            with open(self.file, "rb") as file:
                text = file.read()
        except OSError:
            text = b""  # the loader says why
        config = load_config(self.file)
        old, self._fd = self._fd, os.memfd_create(MEMFD, os.MFD_CLOEXEC)
        with open(self._fd, "wb", closefd=False) as file:
            file.write(text)
        if old >= 0:
            os.close(old)
        self.config = config

    @property
    def env(self) -> dict[str, str]:
        """Environment that tells a child where the text is."""
        return {IN_FORCE: f"{self._fd}:{self.file}"}

    @property
    def files(self) -> tuple[int, ...]:
        """File descriptors that a child inherits."""
        return (self._fd,)


def _looks(file: str) -> object:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
