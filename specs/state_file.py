"""Small JSON files of the state folder, which are replaced atomically."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def read_state(file: str, kind: type[T]) -> T | None:
    """Return the value of a file, None if it does not exist; raises OSError, MsgspecError."""
    try:
        with open(file, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=kind)
    except FileNotFoundError:
        return None


def write_state(file: str, value: Any) -> None:
    """Replace a file; raises OSError."""
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    new = f"{file}.{os.getpid()}-{threading.get_ident()}.new"
    try:
        with open(new, "wb") as written:
            written.write(msgspec.json.format(msgspec.json.encode(value)))
            written.flush()
            os.fsync(written.fileno())
        os.replace(new, file)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(new)
