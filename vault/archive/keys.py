"""From a password to keys, and the key file that holds them. See "Keys" in docs/format.md."""

from __future__ import annotations

import os
import stat
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.errors import Damaged, KeyFileError

KEY_BYTES = 32
SALT_BYTES = 16
MIB = 1024  # KiB


class Derivation(msgspec.Struct, frozen=True):
    """How a master key comes from its password: Argon2id, RFC 9106.

    The defaults are the RFC's second recommended parameters with twice the memory (in KiB).
    """

    salt: bytes
    memory: int = 128 * MIB
    passes: int = 3
    lanes: int = 4

    def check(self, where: str) -> None:
        """Refuse parameters that no packrat wrote, before they eat memory; raises Damaged."""
        if not (
            len(self.salt) == SALT_BYTES
            and 64 * MIB <= self.memory <= 4096 * MIB
            and 1 <= self.passes <= 16  # noqa: PLR2004 (the format's bounds)
            and 1 <= self.lanes <= 64  # noqa: PLR2004
        ):
            raise Damaged(where, "its key derivation parameters are out of bounds")

    def keys(self, password: str) -> Keys:
        """Derive the keys; takes a good part of a second, on purpose."""
        from argon2.low_level import Type, hash_secret_raw

        secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
        master = hash_secret_raw(
            secret, self.salt, self.passes, self.memory, self.lanes, KEY_BYTES, Type.ID
        )
        return Keys(master, self)


@dataclass(frozen=True, repr=False)
class Keys:
    """The master key and all that comes from it. Has no repr, so that no log shows it."""

    master: bytes
    derivation: Derivation

    @cached_property
    def key_id(self) -> bytes:
        """8 bytes that tell this key from another."""
        return _hkdf(self.master, b"", b"packrat key id", 8)

    @cached_property
    def naming_key(self) -> bytes:
        """The key that chunks are named under."""
        return _hkdf(self.master, b"", b"packrat chunk", KEY_BYTES)

    def archive_key(self, archive_id: bytes) -> bytes:
        """Give the key that seals the frames of one archive."""
        return _hkdf(self.master, archive_id, b"packrat archive", KEY_BYTES)


@lru_cache(maxsize=256)
def _hkdf(master: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt or None, info).derive(master)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    """The key file's JSON."""

    packrat_key: int
    key_id: str
    key: str
    salt: str
    memory: int
    passes: int
    lanes: int


def read_key_file(path: str) -> Keys:
    """Read keys; raises KeyFileError when the file is missing, exposed or not a key file."""
    again = "make it again from the password with: packrat rekey"
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except FileNotFoundError:
        raise KeyFileError(
            f"key file {path} does not exist",
            "first time: packrat init; machine lost: packrat rekey",
        ) from None
    except OSError as error:
        raise KeyFileError(f"key file {path}: {error.strerror}", again) from None
    if mode & 0o077:
        raise KeyFileError(
            f"key file {path} can be read by others (mode {mode:04o})", f"chmod 600 {path}"
        )
    try:
        parsed = msgspec.json.decode(content, type=_KeyFile)
        derivation = Derivation(
            bytes.fromhex(parsed.salt), parsed.memory, parsed.passes, parsed.lanes
        )
        keys = Keys(bytes.fromhex(parsed.key), derivation)
        derivation.check(path)
        whole = len(keys.master) == KEY_BYTES and keys.key_id.hex() == parsed.key_id
    except (msgspec.MsgspecError, ValueError, Damaged):
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
            "to make it again from the password: packrat rekey",
        )
    d = keys.derivation
    parsed = _KeyFile(
        1, keys.key_id.hex(), keys.master.hex(), d.salt.hex(), d.memory, d.passes, d.lanes
    )
    temporary = f"{path}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # of a dead process that had the same id
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(parsed)) + b"\n")
            file.flush()
            os.fsync(fd)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, this cannot hit a file made meanwhile
    except OSError as error:
        raise KeyFileError(
            f"cannot write key file {path}: {error.strerror}",
            "encryption.key_file says where it goes; its folder must be writable",
        ) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)
