"""JSON Schema of the configuration, with the stage kinds of installed packages."""

from __future__ import annotations

from typing import Any

from specs.config import Config
from stages.kinds import BUILT_IN, all_kinds

POSITION = ("kind", "after", "before")


def config_schema() -> dict[str, Any]:
    """Return the schema; raises UnusableKind for a kind that cannot be loaded."""
    schema = Config.model_json_schema()
    added = schema["$defs"]["AddedStage"]
    choices = []
    for kind in all_kinds():
        if kind.kind in BUILT_IN:
            continue
        own = kind.model_json_schema(ref_template=f"#/$defs/{kind.kind}.{{model}}")
        schema["$defs"] |= {f"{kind.kind}.{n}": d for n, d in own.pop("$defs", {}).items()}
        position = {name: added["properties"][name] for name in POSITION}
        position["kind"] = {"const": kind.kind, "description": _summary(kind)}
        own["properties"] = position | own.get("properties", {})
        own["required"] = ["kind", *own.get("required", [])]
        choices.append(own)
    if choices:
        added["oneOf"] = choices
    return schema


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
