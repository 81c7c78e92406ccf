"""Secrets: literal texts, or references to where the text is. Values are never shown."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from specs.document import read_document
from specs.faults import ConfigFaults
from specs.values import absolute, folder_of, refusal
from stages.masking import hide

LARGEST = 1 << 16  # characters; so that a disk, named by mistake, is not read whole
PATIENCE = 60  # seconds that a command may take to print one

_HINT = 'write text, {env: NAME}, {file: PATH} or {command: "…"}'


class SecretFault(Exception):  # noqa: N818 - named as the other faults are
    """A secret whose text cannot be read now.

    Attributes:
        what: The secret and the problem; never contains a part of the value.
        hint: Advice to the user.
        reason: The problem alone.
    """

    def __init__(self, what: str, hint: str, reason: str = "") -> None:
        super().__init__(f"{what}; {hint}")
        self.what, self.hint, self.reason = what, hint, reason or what


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that is not shown in repr, str, errors or dumps.

    Attributes:
        form: ``text``, or the kind of reference: ``env``, ``file``, ``command`` or ``config``.
        value: The text itself, the variable, the path, the command, or ``FILE#/pointer``.
        source: Its position, ``FILE#/pointer``; empty outside a configuration file.
    """

    form: str
    value: str
    source: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return "Secret(text)" if self.form == "text" else f"Secret({self.form}: {self.value})"

    def resolve(self) -> str:
        """Return the text without one trailing newline. Nothing is cached.

        From then on the text is masked in all output.

        Raises:
            SecretFault: The text cannot be read.
        """
        try:
            found = _FINDERS[self.form](self.value)
        except SecretFault as fault:
            what = f"the secret {self.source or self.form}: {fault.what}"
            raise SecretFault(what, fault.hint, fault.reason) from None
        return hide(re.sub(r"\r?\n\Z", "", found))

    def reference(self) -> dict[str, str]:
        """Return a reference to the text, for a pipeline document; a literal is not shown.

        Raises:
            ValueError: It is a literal that was not read from a file.
        """
        if self.form != "text":
            return {self.form: self.value}
        if not self.source:
            raise ValueError("a literal secret outside a file cannot be written down")
        return {"config": self.source}

    @classmethod
    def parse(cls, value: Any, folder: str = "") -> "Secret":
        """Parse a secret as the user writes it; a relative file path starts at `folder`.

        Raises:
            PydanticCustomError: The form is unknown; the message does not repeat the value.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, bool):
            return cls("text", str(value).lower())
        if isinstance(value, str | int | float):
            return cls("text", str(value))
        if isinstance(value, dict) and len(value) == 1:
            [(form, name)] = value.items()
            if form in _REFERENCES and isinstance(name, str) and name:
                return cls(form, absolute(name, folder) if form in ("file", "config") else name)
        raise refusal("not a secret", _HINT)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: cls.parse(value, folder_of(info)),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.reference),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, __: Any) -> dict[str, Any]:
        one = {"type": "object", "maxProperties": 1, "minProperties": 1}
        forms = {form: {"type": "string"} for form in _REFERENCES}
        reference = one | {"properties": forms, "additionalProperties": False}
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, reference]}


def refuse_path(secret: Secret) -> Secret:
    """Refuse a literal that looks like a path: the user means the content of that file.

    Raises:
        PydanticCustomError: It looks like a path, or is empty.
    """
    if secret.form == "text" and not secret.value.strip():
        raise refusal("an empty secret", _HINT)
    if secret.form == "text" and secret.value.startswith(("/", "~/", "./", "../")):
        hint = "write {file: PATH}, or {env: NAME} for a secret that does begin so"
        raise refusal("looks like a path, not a secret", hint)
    return secret


Password = Annotated[Secret, AfterValidator(refuse_path)]
"""A secret that is never a path."""


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except (KeyError, ValueError):
        hint = "set it where packrat is started"
        raise SecretFault(f"the environment has no {name}", hint) from None


def _from_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            found = stream.read(LARGEST + 1)
        reason = f"longer than {LARGEST} characters"
        if len(found) <= LARGEST:
            return found
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
    hint = "write the secret there, readable by packrat's user"
    raise SecretFault(f"{path} cannot be read: {reason}", hint)


def _from_command(command: str) -> str:
    # Its standard error is not repeated: it may contain a secret.
    try:
        return subprocess.run(  # noqa: S603 - the user's own command
            ["bash", "-o", "pipefail", "-c", command],  # noqa: S607 - NixOS has no /bin/bash
            cwd="/",  # the same folder by hand and in the daemon
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        ).stdout.decode()
    except subprocess.CalledProcessError as error:
        what = f"its command ended with status {error.returncode}"
    except subprocess.TimeoutExpired:
        what = f"its command took longer than {PATIENCE} s"
    except (OSError, ValueError):
        what = "its command cannot be run, or prints no text"
    raise SecretFault(what, "run it by hand as packrat's user")


_literals: dict[str, str] = {}
"""Texts of literals by ``FILE#/pointer``, so that a daemon's child needs no file."""


def use_literals(texts: Mapping[str, str]) -> None:
    """Resolve references to a configuration from these texts; the file may have changed since."""
    _literals.update(texts)


def _from_config(place: str) -> str:
    """Return the secret at ``FILE#/pointer``, from the configuration unless it is known."""
    if place in _literals:
        return _literals[place]
    file, _, pointer = place.rpartition("#/")
    try:
        found: Any = read_document(file).data
        for step in pointer.split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        secret = Secret.parse(found, os.path.dirname(file))
    except (ConfigFaults, LookupError, TypeError, ValueError):
        hint = "put it back there, or plan again"
        raise SecretFault(f"there is no secret at {place}", hint) from None
    if secret.form == "config":  # it might refer to itself
        raise SecretFault(f"{place} only refers on", "name the place that has the secret")
    return secret.resolve()


_FINDERS: dict[str, Callable[[str], str]] = {
    "text": str,
    "env": _from_environment,
    "file": _from_file,
    "command": _from_command,
    "config": _from_config,
}
_REFERENCES = [form for form in _FINDERS if form != "text"]
