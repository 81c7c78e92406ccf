"""Key file: the keys of a configuration on this machine. See "Key file" in docs/format.md."""

from __future__ import annotations

import os
import stat
from base64 import b64decode, b64encode
from contextlib import suppress

import msgspec

from vault.archive.derivation import KEY_BYTES
from vault.archive.keys import Keys
from vault.archive.slots import pack_slots, unpack_slots
from vault.durable import make_folder, sync_folder
from vault.errors import Damaged, KeyFileError

VERSION = 2
MOST_BYTES = 64 << 10


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    """The key file's JSON: the keys in hex, the slots in base64 as they are in a header."""

    packrat_key: int
    key_id: str
    key: str
    derived_key: str
    slots: str


def read_key_file(path: str) -> Keys:
    """Read keys; raises KeyFileError if the file is missing, exposed or not a key file."""
    again = "recreate it from the password with: packrat rekey"
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        raise KeyFileError(
            f"key file {path} does not exist",
            "first time: packrat init; machine lost: packrat rekey",
        ) from None
    except PermissionError as error:
        raise KeyFileError(
            f"key file {path}: {error.strerror}",
            "run packrat as the user whose key it is, for example with sudo",
        ) from None
    except OSError as error:
        raise KeyFileError(f"key file {path}: {error.strerror}", again) from None
    if mode & 0o077:
        raise KeyFileError(
            f"key file {path} can be read by others (mode {mode:04o})", f"chmod 600 {path}"
        )
    try:
        parsed = msgspec.json.decode(content, type=_KeyFile)
        slots = unpack_slots(b64decode(parsed.slots, validate=True), path)
        keys = Keys(bytes.fromhex(parsed.key), bytes.fromhex(parsed.derived_key), slots)
        whole = (
            parsed.packrat_key == VERSION
            and len(keys.master) == len(keys.derived) == KEY_BYTES
            and keys.key_id.hex() == parsed.key_id
            and keys.password_slot.unwrap(keys.derived) == keys.master
        )
    except (msgspec.MsgspecError, ValueError, StopIteration, Damaged):
        whole = False
    if not whole:
        raise KeyFileError(f"{path} is not a packrat key file, or it is damaged", again)
    return keys


def write_key_file(path: str, keys: Keys, *, replace: bool = False) -> None:
    """Write keys with mode 0600, whole or not at all; raises KeyFileError.

    Without `replace`, an existing file is an error.
    """
    if not replace and os.path.lexists(path):
        raise KeyFileError(
            f"key file {path} exists and is never overwritten",
            "for another password: packrat password",
        )
    parsed = _KeyFile(
        VERSION,
        keys.key_id.hex(),
        keys.master.hex(),
        keys.derived.hex(),
        b64encode(pack_slots(keys.slots)).decode(),
    )
    folder, temporary = os.path.dirname(path) or ".", f"{path}.{os.getpid()}.part"
    try:
        make_folder(folder)
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # left by a dead process with the same id
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(parsed)) + b"\n")
            file.flush()
            os.fsync(fd)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, this cannot replace a new file
        sync_folder(folder)
    except OSError as error:
        raise KeyFileError(
            f"cannot write key file {path}: {error.strerror}",
            "encryption.key_file says where it goes; its folder must be writable",
        ) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)
