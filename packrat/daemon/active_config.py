"""Configuration that the daemon uses: the last valid one, even if the file is now broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from specs.faults import ConfigFaults
from specs.load import load_config

if TYPE_CHECKING:
    from specs.faults import Fault


class ActiveConfig:
    """The last valid configuration of a file."""

    def __init__(self, file: str) -> None:
        """Read the file; raises ConfigFaults."""
        self.file = os.path.abspath(file)
        self.faults: list[Fault] = []
        """Faults of the file as it is now; if there are any, the configuration is an older one."""
        self.read()

    @property
    def changed(self) -> bool:
        """True if the file has changed since it was last read."""
        return _signature(self.file) != self._seen

    def read(self) -> None:
        """Read the file again; raises ConfigFaults and then keeps the old configuration."""
        self._seen = _signature(self.file)
        try:
            self.config = load_config(self.file)
        except ConfigFaults as error:
            self.faults = error.faults
            raise
        self.faults = []


def _signature(file: str) -> object:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
