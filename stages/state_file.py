"""Small files of the state folder, which are replaced atomically and survive a power cut."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from vault.durable import make_folder, sync_folder, write_all

T = TypeVar("T")


def read_state(file: str, kind: type[T]) -> T | None:
    """Return the value of a JSON file, None if it does not exist; raises OSError, MsgspecError."""
    try:
        with open(file, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=kind)
    except FileNotFoundError:
        return None


def write_state(file: str, value: Any) -> None:
    """Replace a JSON file; raises OSError."""
    replace_file(file, msgspec.json.format(msgspec.json.encode(value)))


def replace_file(path: str, content: bytes) -> None:
    """Replace a file, or create it and its folder; raises OSError."""
    folder = os.path.dirname(path)
    make_folder(folder)
    number, new = tempfile.mkstemp(".new", dir=folder)
    try:
        try:
            write_all(number, content, 0)
            os.fsync(number)
        finally:
            os.close(number)
        os.replace(new, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(new)
    sync_folder(folder)
