"""Options of an fsspec filesystem: plain values, nested, with secrets by reference only."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from specs.secret import Secret
from specs.values import folder_of, refusal

_REFERENCES = ("env", "file", "command", "config")
_SECRET = re.compile(
    r"(?i)pass(word|wd|phrase)?$|secret|account_key|connection_string|sas_token|auth\[1\]"
)
_HINT = "write {env: NAME}, {file: PATH} or {command: …}"


def parse_options(value: Any, info: ValidationInfo) -> dict[str, Any]:
    """Parse options as the user writes them.

    Raises:
        PydanticCustomError: They are not a mapping, or a secret is written as plain text.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise refusal("not a mapping", "write KEY: VALUE lines below it")
    folder = folder_of(info)
    return {name: _parse(name, inner, folder) for name, inner in value.items()}


def resolve_options(options: Any) -> Any:
    """Return options with each secret replaced by its text.

    Raises:
        SecretFault: A secret cannot be read.
    """
    if isinstance(options, Secret):
        return options.resolve()
    if isinstance(options, dict):
        return {name: resolve_options(inner) for name, inner in options.items()}
    # Some libraries require a pair to be a tuple, for example `auth`.
    return tuple(map(resolve_options, options)) if _is_list(options) else options


def _parse(name: str, value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and set(value) <= set(_REFERENCES):
            return Secret.parse(value, folder)
        return {str(inner): _parse(str(inner), one, folder) for inner, one in value.items()}
    if _is_list(value):
        return tuple(_parse(f"{name}[{at}]", one, folder) for at, one in enumerate(value))
    if isinstance(value, str) and _SECRET.search(name):
        raise refusal(f"{name} is a secret, written as plain text", _HINT)
    return value


def _dump(options: Any) -> Any:
    if isinstance(options, Secret):
        return options.reference()
    if isinstance(options, dict):
        return {name: _dump(inner) for name, inner in options.items()}
    return [_dump(inner) for inner in options] if _is_list(options) else options


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


Options = Annotated[
    dict[str, Any],
    BeforeValidator(parse_options),
    PlainSerializer(_dump),
    WithJsonSchema({"type": "object", "examples": [{"auth": ["packrat", {"env": "PASSWORD"}]}]}),
]
"""Options of an fsspec filesystem, by name."""
