"""Labels of this machine's containers, and the record of those seen last in the state folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from specs.discovery.labelled import Labelled, Record, with_labels
from specs.service import Service
from stages.errors import SourceError
from stages.masking import never_mask
from stages.service.docker import DockerEngine
from stages.service.inventory import read_inventory
from stages.state_file import read_state, write_state

if TYPE_CHECKING:
    from specs.config import Config
    from stages.service.inventory import Inventory

FILE = "labels.json"
ASKING_SECONDS = 10
"""Time that a command waits for the Docker engine before it uses the record."""


def read_labels(config: Config, *, remember: bool) -> Labelled:
    """Return a configuration with the services of labels, if it has `docker: labels: true`.

    With `remember`, what was seen is recorded, so that the services stay when labels are gone.
    """
    if not config.docker.labels:
        return Labelled(config, {})
    try:
        inventory = read_inventory(DockerEngine(None, ASKING_SECONDS))
    except SourceError as error:
        return use_labels(config, None, str(error), remember=remember)
    return use_labels(config, inventory, remember=remember)


def use_labels(
    config: Config, inventory: Inventory | None, why: str = "", *, remember: bool
) -> Labelled:
    """Return what `read_labels` does; `why` is the reason why there is no inventory."""
    if not config.docker.labels:
        return Labelled(config, {})
    file = os.path.join(config.state_dir, FILE)
    faults = [] if inventory else [f"nothing that labels enabled is pruned: {why}"]
    record = _read(file, faults)
    found = with_labels(config, inventory, record)
    if remember and found.record != record:
        try:
            write_state(file, found.record)
        except OSError as error:
            faults.append(f"{file}: the labels cannot be recorded: {error.strerror}")
    never_mask(found.config.shown_words())
    return Labelled(found.config, found.record, (*faults, *found.faults))


def _read(file: str, faults: list[str]) -> Record:
    """Return the record without entries that are not valid."""
    try:
        record = read_state(file, Record) or {}
    except (OSError, msgspec.MsgspecError) as error:
        faults.append(f"{file}: the labels seen last cannot be read: {error}")
        return {}
    for name, settings in list(record.items()):
        try:
            Service.model_validate(settings, context={"folder": "/"})
        except ValueError:
            faults.append(f"{file}: what it says of service {name} is not valid")
            del record[name]
    return record
