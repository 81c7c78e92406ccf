"""Reading of a broken configuration: what is left when its faulty parts are removed.

It is for commands that only look, or restore to a folder. What a removed part would have said is
unknown, so such a configuration must not be used to back up, delete or overwrite anything.
"""

from collections.abc import Iterator
from typing import Any

from specs.config import Config
from specs.document import dotted, read_document
from specs.faults import ConfigFaults, Fault
from specs.load import finished, validate

BARE_SERVICE = {"path": "/"}
"""A service whose own settings are faulty: its backups can still be read."""


def load_readable(file: str) -> tuple[Config, list[Fault]]:
    """Return what is readable of a configuration, and its faults: none if it is valid.

    Raises:
        ConfigFaults: The file is not YAML, has no readable services, or is not trusted.
    """
    document = read_document(file)
    config, faults = validate(document)
    document.faults.clear()
    left = faults
    while left and any(_remove(document.data, fault.where) for fault in left):
        config, left = validate(document)
    if config is None:
        raise ConfigFaults(faults)
    return finished(config, file), sorted(set(faults))


def _remove(data: dict[str, Any], where: str) -> bool:
    """Remove the smallest mapping or value that contains a fault; return whether it was there."""
    paths = [path for path in _paths(data) if f"{where}.".startswith(_begins(path))]
    path = max(paths, key=len, default=())
    match path:
        case () | ("services",) | ("backup",):
            empty = where == "backup" and data.get("backup") != {}
            if empty:
                data["backup"] = {}
            return empty
        case ("services", service):
            return _strip_service(data["services"], service, where)
    section = data
    for step in path[:-1]:
        section = section[step]
    del section[path[-1]]
    return True


def _strip_service(services: dict[str, Any], name: str, where: str) -> bool:
    if services[name] == BARE_SERVICE:
        del services[name]  # its name is the fault
    elif where.endswith(".path") and isinstance(services[name], dict):
        services[name] |= BARE_SERVICE
    else:
        services[name] = dict(BARE_SERVICE)
    return True


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all keys; an entry of a list has none, and is removed with the list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from _paths(inner, (*path, key))


def _begins(path: tuple[str, ...]) -> tuple[str, str]:
    return f"{dotted(path)}.", f"{dotted(path)}["
