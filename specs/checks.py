"""Checks that span several sections of a configuration.

They read the plain document, so that their faults are reported together with all others.
"""

import difflib
import os
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from specs.document import Document, KeyPath
from specs.faults import Fault
from specs.service import Docker

JOBS = ("prune", "verify")
"""Words that `packrat plan` reads as a job; a service cannot have such a name."""
FIXED = ("local", "synology", "s3")
NO_VALUE = ("has no value", "write one, or remove the key")


def cross_faults(document: Document) -> Iterator[Fault]:
    """Yield the faults of settings that are valid by themselves but not together."""
    backup = _mapping(document.data.get("backup"))
    fixed = [name for name in FIXED if name in backup]
    named = _mapping(backup.get("destinations"))
    known = [*fixed, *named]
    if isinstance(document.data.get("backup"), dict) and not known:
        hint = "write for example local: {path: /mnt/backup}"
        yield document.fault(("backup",), "names no destination", hint, at_key=True)
    for name in fixed:
        if name in named:
            path = ("backup", "destinations", name)
            hint = "rename one of the two"
            yield document.fault(path, f"backup.{name} has that name, too", hint, at_key=True)
    yield from _two_retentions(document, ("backup",), backup)
    for name, service in _mapping(document.data.get("services")).items():
        if name in JOBS:
            hint = f"rename the service: packrat plan {name} shows what that job does"
            yield document.fault(("services", name), f"cannot be named {name!r}", hint, at_key=True)
        yield from _two_retentions(document, ("services", name), _mapping(service))
        yield from _unknown_destinations(document, name, _mapping(service), known)
        yield from _absolute_patterns(document, name, _mapping(service))
        yield from _overlaps(document, name, _mapping(service))
        if isinstance(service, dict):
            yield from _reads_nothing(document, name, service)
        yield from _no_container(document, name, _mapping(service))


def _two_retentions(document: Document, path: KeyPath, section: dict[str, Any]) -> Iterator[Fault]:
    if "retain" in section and "retain_backups" in section:
        message = "retain_backups is there as well"
        yield document.fault((*path, "retain"), message, "remove one of the two", at_key=True)


def missing_values(document: Document) -> Iterator[Fault]:
    """Yield the keys without a value."""
    for path, value in _walk(document.data, ()):
        # An empty endpoint is valid: it means AWS.
        if value is None and path[-1] != "endpoint":
            yield document.fault(path, *NO_VALUE, at_key=True)


def _unknown_destinations(
    document: Document, name: str, service: dict[str, Any], known: list[str]
) -> Iterator[Fault]:
    chosen = service.get("destinations")
    for at, choice in enumerate(chosen if isinstance(chosen, list) else []):
        if isinstance(choice, str) and choice not in known:
            near = difflib.get_close_matches(choice, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            path = ("services", name, "destinations", at)
            yield document.fault(path, f"there is no destination '{choice}'", hint)


def _absolute_patterns(document: Document, name: str, service: dict[str, Any]) -> Iterator[Fault]:
    exclude, tops = service.get("exclude"), [folder for _, folder in _folders(service)]
    for at, pattern in enumerate(exclude if isinstance(exclude, list) else []):
        for root in (f"{top.rstrip('/')}/" for top in tops if top.strip("/")):
            if isinstance(pattern, str) and pattern.startswith(root):
                path = ("services", name, "exclude", at)
                inside = pattern.removeprefix(root.rstrip("/"))
                message = "matches nothing: patterns begin at the service's path"
                yield document.fault(path, message, f"write {inside}")


def _overlaps(document: Document, name: str, service: dict[str, Any]) -> Iterator[Fault]:
    """Yield a fault for each folder that is, or is inside, another one of the service."""
    if service.get("one_file_system"):
        return  # then a folder inside another one may be left out there; a run looks
    here = os.path.dirname(document.file)
    found: list[tuple[str, PurePath]] = []
    for key, folder in _folders(service):
        real = PurePath(os.path.realpath(os.path.join(here, os.path.expanduser(folder))))
        for other, top in found:
            inside, around = real.is_relative_to(top), top.is_relative_to(real)
            if inside or around:
                what = f"is inside {other}" if inside else f"contains {other}"
                message = f"{what}, which would be stored twice"
                yield document.fault(("services", name, *key), message, "leave one of them out")
                break
        found.append((folder, real))


def _folders(service: dict[str, Any]) -> list[tuple[KeyPath, str]]:
    """Return the folders that a service names, with the path of each in the service."""
    paths = service.get("paths")
    more = enumerate(paths if isinstance(paths, list) else [])
    named = [(("path",), service.get("path")), *((("paths", at), folder) for at, folder in more)]
    return [
        (key, folder)
        for key, folder in named
        if isinstance(folder, str) and folder and "\0" not in folder
    ]


def _reads_nothing(document: Document, name: str, service: dict[str, Any]) -> Iterator[Fault]:
    if not any(key in service for key in ("path", "paths", "volumes", "compose", "databases")):
        hint = "write path: /var/lib/gitea, or paths:, volumes:, compose: or databases:"
        yield document.fault(("services", name, "path"), "is missing", hint, at_key=True)


def _no_container(document: Document, name: str, service: dict[str, Any]) -> Iterator[Fault]:
    docker = service.get("docker")
    if not isinstance(docker, dict) or docker.get("container") or docker.get("containers"):
        return
    if not docker.keys() <= Docker.model_fields.keys():
        return  # the unknown key may be a misspelt `container`
    if not (
        service.get("compose")
        or ((service.get("volumes") or service.get("databases")) and "host" in docker)
    ):
        path, message = ("services", name, "docker"), "needs one of container and containers"
        yield document.fault(path, message, "write container: NAME")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _walk(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _walk(inner, (*path, step))
    elif path:
        yield path, value
