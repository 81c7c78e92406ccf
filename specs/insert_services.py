"""Insertion of services into the text of a configuration; every other byte stays as it is.

ruamel.yaml, which loads and writes the whole file, changes the indentation of `examples/seed.yaml`
and puts a new service below the comment of the next section. So only the position comes from the
YAML parser.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from msgspec import Struct

from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

INDENT = 2


class NewService(Struct, frozen=True):
    """Service to insert."""

    name: str
    settings: dict[str, Any]
    comments: tuple[str, ...] = ()
    """Sentences above its keys."""


class NotInsertable(ValueError):  # noqa: N818 (an adjective)
    """`services` is not a mapping that can be extended."""


def insert_services(text: str, services: Iterable[NewService]) -> str:
    """Return the text of a valid configuration with more services after the last one.

    Raises:
        NotInsertable: `services` is an alias, or missing.
    """
    found = _find(text)
    if found.flow:
        new = {one.name: one.settings for one in services}
        added = json.dumps(new, ensure_ascii=False)[1:-1]
        before = text[: found.end].rstrip()
        return f"{before}{' ' if before.endswith(',') else ', '}{added}{text[found.end :]}"
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    at = found.end
    # A comment that is indented like a service or its keys belongs to the last service.
    while at < len(lines) and lines[at].startswith(" " * max(found.column, 1)):
        if not lines[at].lstrip().startswith("#"):
            break
        at += 1
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += end
    blocks = (_block(one, found.column).replace("\n", end) for one in services)
    return "".join([*lines[:at], *blocks, *lines[at:]])


class _Found(Struct):
    """Position behind the last service."""

    flow: bool
    column: int
    """Indentation of the services' names."""
    end: int
    """Line; with `flow`, offset of the closing brace."""


def _find(text: str) -> _Found:
    """Return where `services` ends.

    The end of a block lies behind the comments that follow it, so that of its last value counts.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    start = next(
        (
            _begin(value).index
            for key, value in pairs
            if key.value == "services"
            and isinstance(value, yaml.MappingNode)
            and _begin(value).index > _begin(key).index  # else it is an alias
        ),
        None,
    )
    found: _Found | None = None
    flows: list[bool] = []
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            if not found and _begin(event).index == start:
                found, flows = _Found(bool(event.flow_style), _begin(event).column, 0), []
            flows.append(bool(event.flow_style))
        elif isinstance(event, yaml.CollectionEndEvent):
            flow = flows.pop()
            if found and not flows:
                found.end = _end(event).index - 1 if found.flow else found.end
                return found
            if found and flow:
                found.end = _end(event).line + 1
        elif found and isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            # A block of text ends at the beginning of the next line.
            found.end = _end(event).line + (_end(event).column > 0)
    raise NotInsertable


def _begin(part: Any) -> Any:
    """Return where a node or an event begins; its type says that it may be unknown."""
    return part.start_mark


def _end(event: Any) -> Any:
    return event.end_mark


class _Dumper(yaml.SafeDumper):
    """Dumper that indents the entries of a list."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def _block(service: NewService, column: int) -> str:
    text = yaml.dump(
        {service.name: service.settings},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=1 << 16,
        indent=INDENT,
    )
    name, *rest = text.splitlines()
    comments = [f"{' ' * INDENT}# {printable(one)}" for one in service.comments]
    return "".join(f"{' ' * column}{line}\n" for line in (name, *comments, *rest))
