"""Configuration that the daemon uses: the last valid one, even if the file is now broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from specs.discovery.label_record import read_labels, use_labels
from specs.faults import ConfigFaults, Fault
from specs.load import load_config

if TYPE_CHECKING:
    from specs.discovery.labelled import Labelled
    from stages.service.inventory import Inventory


class ActiveConfig:
    """The last valid configuration of a file."""

    def __init__(self, file: str) -> None:
        """Read the file; raises ConfigFaults."""
        self.file = os.path.abspath(file)
        self.faults: list[Fault] = []
        """Faults of the file as it is now; if there are any, the configuration is an older one."""
        self.label_faults: tuple[str, ...] = ()
        """A sentence for each label of a container that is not used."""
        self._inventory: Inventory | None = None
        self.read()

    @property
    def changed(self) -> bool:
        """True if the file has changed since it was last read."""
        return _signature(self.file) != self._seen

    def read(self) -> None:
        """Read the file again; raises ConfigFaults and then keeps the old configuration."""
        self._seen = _signature(self.file)
        try:
            config = load_config(self.file)
        except ConfigFaults as error:
            self.faults = error.faults
            raise
        self.faults = []
        self.written = config
        looked = self._inventory
        self._use(
            use_labels(config, looked, remember=True)
            if looked
            else read_labels(config, remember=True)
        )

    def use_labels(self, labelled: Labelled, inventory: Inventory | None) -> bool:
        """Replace what labels add to the file; return whether the services have changed."""
        before, self._inventory = self.config.services, inventory
        self._use(labelled)
        return self.config.services != before

    def _use(self, labelled: Labelled) -> None:
        self.config, self.label_faults = labelled.config, labelled.faults


def _signature(file: str) -> object:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
