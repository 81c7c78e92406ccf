"""Labels `packrat.*` of containers: what they may set, and how their values are written.

Labels never name commands, paths or destinations. Each value is plain text that is validated like
the same key of the configuration; none is read as YAML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pydantic import ValidationError

from specs.faults import printable
from specs.retain import Retain
from specs.service import Service
from specs.translate import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from specs.discovery.groups import Group
    from stages.service.inventory import ContainerEntry

PREFIX = "packrat."
KEYS = ("enable", "schedule", "exclude", "retain")
LONGEST = 4096
"""Characters of a value."""
SHOWN = 40
_NUMBER = re.compile(r"[0-9]{1,9}")
_RULE = re.compile(r"([a-z]+) *= *([0-9]{1,9}[a-z]?)")


class BadLabel(Exception):  # noqa: N818 (it names the label)
    """Label that cannot be used."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(printable(f"label {key[:SHOWN]}: {reason}"))


class LabelSettings(Struct, frozen=True):
    """Combined settings from the labels of a group's containers."""

    enable: bool | None
    """None without a usable label."""
    settings: dict[str, Any]
    """Keys of the service."""
    faults: tuple[str, ...]
    """A sentence for each container whose labels do not count."""


def settings_of(group: Group) -> LabelSettings:
    """Return what the labels of a group say; a bad label makes all of its container void."""
    enable: bool | None = None
    settings: dict[str, Any] = {}
    faults: list[str] = []
    named: dict[str, str] = {}
    for one in group.containers:
        try:
            own = _of_container(one)
            _require_same(own, {"enable": enable} | settings, named)
        except BadLabel as bad:
            faults.append(f"container {one.name}: {bad}; its labels are not used")
            continue
        named |= dict.fromkeys(own, one.name)
        enable = own.pop("enable", enable)
        exclude = [*settings.get("exclude", []), *own.pop("exclude", [])]
        settings |= own | ({"exclude": list(dict.fromkeys(exclude))} if exclude else {})
    if settings and enable is None and not faults:
        faults.append(f"container {group.containers[0].name}: packrat.enable=true is missing")
    if isinstance(settings.get("retain"), int):  # a number of backups has a key of its own
        settings["retain_backups"] = settings.pop("retain")
    return LabelSettings(enable, settings, tuple(faults))


def _require_same(own: dict[str, Any], said: dict[str, Any], named: dict[str, str]) -> None:
    """Raise BadLabel if a container contradicts another one of its group."""
    for key in ("enable", "schedule", "retain"):
        if key in own and key in named and own[key] != said[key]:
            raise BadLabel(PREFIX + key, f"container {named[key]} has another value")


def _of_container(container: ContainerEntry) -> dict[str, Any]:
    """Return the values of a container's own labels; raises BadLabel."""
    found: dict[str, Any] = {}
    if container.image_labels is None:
        for key in filter(lambda key: key.startswith(PREFIX), container.labels):
            raise BadLabel(key, "its image was deleted or cannot be read, and may have set it")
    for key, text in sorted(container.own_labels(PREFIX).items()):
        name = key.removeprefix(PREFIX)
        if name not in KEYS:
            raise BadLabel(key, f"labels set only {', '.join(KEYS)}")
        if len(text) > LONGEST:
            raise BadLabel(key, f"longer than {LONGEST} characters")
        found[name] = _parsed(key, name, text.strip())
    return found


def _parsed(key: str, name: str, text: str) -> Any:
    if name == "enable":
        if text.lower() not in ("true", "false"):
            raise BadLabel(key, "write true or false")
        return text.lower() == "true"
    value: Any = text
    if name == "exclude":
        value = [part for part in map(str.strip, text.split(",")) if part]
    elif name == "retain":
        value = int(text) if _NUMBER.fullmatch(text) else _rules(key, text.split(","))
    field = "retain_backups" if isinstance(value, int) else name
    try:
        Service.model_validate({"path": "/", field: value}, context={"folder": "/"})
    except ValidationError as error:
        what, hint = words_of(error.errors(include_url=False)[0])
        raise BadLabel(key, f"{what}; {hint}" if hint else what) from None
    return value


def _rules(key: str, parts: Iterable[str]) -> dict[str, str]:
    rules = {}
    for part in parts:
        if not (match := _RULE.fullmatch(part.strip())):
            raise BadLabel(key, "write a number, or for example daily=7, weekly=4")
        if match[1] not in Retain.model_fields:
            raise BadLabel(key, f"no rule {match[1]!r}; there are {', '.join(Retain.model_fields)}")
        rules[match[1]] = match[2]
    return rules
