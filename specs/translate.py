"""Translation of pydantic's errors to faults with a position and plain words."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from specs.backup import TYPES
from specs.checks import NO_VALUE
from specs.document import Document, KeyPath
from specs.faults import Fault
from specs.retain import Retain

COMMANDS = ("pre_backup", "post_backup", "post_restore")
_TYPES = f"write type: {', '.join(TYPES[:-1])} or {TYPES[-1]}"

# pydantic's type of error -> (message, hint)
_WORDS = {
    "bool_parsing": ("not a yes or no", "write true or false"),
    "bool_type": ("not a yes or no", "write true or false"),
    "dict_type": ("not a mapping", "write KEY: VALUE lines below it"),
    "float_parsing": ("not a number", "write for example 5"),
    "float_type": ("not a number", "write for example 5"),
    "finite_number": ("not a number", "write for example 5"),
    "greater_than_equal": ("too small", "write at least {ge:g}"),
    "int_from_float": ("not a whole number", "write digits alone, such as 14"),
    "int_parsing": ("not a whole number", "write digits alone, such as 14"),
    "int_parsing_size": ("too large", "write digits alone, such as 14"),
    "int_type": ("not a whole number", "write digits alone, such as 14"),
    "less_than_equal": ("too large", "write at most {le:g}"),
    "literal_error": ("not one of the words known here", "write {expected}"),
    "model_attributes_type": ("not a mapping", "write KEY: VALUE lines below it"),
    "model_type": ("not a mapping", "write KEY: VALUE lines below it"),
    "packrat": ("{message}", "{hint}"),
    "string_too_short": ("is empty", "write it, or remove the key"),
    "string_type": ("not text", "put it in quotes"),
    "too_short": ("is empty", "write at least one"),
    "tuple_type": ("not a list", "write lines that begin with '- '"),
    "value_error": ("{error}", "look it up in `packrat schema`"),
    "union_tag_invalid": ("not a kind of destination", _TYPES),
    "union_tag_not_found": ("is missing", _TYPES),
}


def translate(
    error: ValidationError, document: Document, model: type[BaseModel], at: KeyPath = ()
) -> list[Fault]:
    """Return each validation error as a fault with its line and column.

    `at` is the path of the validated part of the document.
    """
    details = error.errors(include_url=False)
    schema = model.model_json_schema()
    return [_fault(detail, document, schema, at) for detail in details]


def _fault(detail: ErrorDetails, document: Document, schema: dict[str, Any], at: KeyPath) -> Fault:
    kind, loc = detail["type"], detail["loc"]
    # pydantic's path names the chosen type of a union; the file does not.
    path: KeyPath = loc
    for head in (("backup", "destinations"), ("destinations",)):
        if loc[: len(head)] == head:
            path = loc[: len(head) + 1] + loc[len(head) + 2 :]
    path = (*at, *path)
    at_key = path[-1:] == ("[key]",)
    if at_key:
        path = path[:-1]
    if path[-1:] == (0,) and path not in document.values:
        path = path[:-1]  # a single word instead of a list
    if kind.startswith("union_tag"):
        path = (*path, "type")
    if kind == "extra_forbidden":
        hint = _known_keys(str(path[-1]), _section(schema, loc[:-1]))
        return document.fault(path, "unknown key", hint, at_key=True)
    if detail["input"] is None:
        return document.fault(path, *NO_VALUE, at_key=True)
    if path[0] == "services" and path[2:] == ("path",) and isinstance(detail["input"], list):
        return document.fault(path, "is one folder", "write paths: for a list of folders")
    if kind in ("model_type", "model_attributes_type") and path[-1] in COMMANDS:
        return document.fault(path, "not a mapping", "write command: … below it")
    if kind == "missing":
        [example, *_] = _section(schema, loc).get("examples", ["…"])
        hint = f"write {path[-1]}: {example}"
        return document.fault(path, "is missing", hint, at_key=True)
    return document.fault(path, *words_of(detail), at_key=at_key)


def words_of(detail: ErrorDetails) -> tuple[str, str]:
    """Return the message and the hint for a value that a model refuses."""
    data = detail.get("ctx", {})
    what, hint = _WORDS.get(detail["type"], ("cannot be used", "look it up in `packrat schema`"))
    return what.format(**data), hint.format(**data)


def _known_keys(key: str, section: dict[str, Any]) -> str:
    known = list(section.get("properties", {}))
    rule = key.removeprefix("keep_")
    if "retain" in known and rule in Retain.model_fields:
        return f"write retain: {{{rule}: 7}}"
    near = difflib.get_close_matches(key.replace("-", "_").lower(), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"


def _section(schema: dict[str, Any], loc: KeyPath) -> dict[str, Any]:
    """Walk a JSON Schema along pydantic's path."""
    section = _resolved(schema, schema)
    for step in loc:
        if "discriminator" in section:
            section = {"$ref": section["discriminator"]["mapping"].get(step)}
        else:
            inner = section.get("properties", {}).get(step)
            section = inner or section.get("additionalProperties") or section.get("items") or {}
        section = _resolved(section, schema)
    return section


def _resolved(section: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and choose the side of an optional that is not null."""
    for choice in section.get("anyOf", []):
        if "$ref" in choice:
            return _resolved(choice, schema)
    name = section.get("$ref")
    return section | schema["$defs"][name.rpartition("/")[2]] if name else section
