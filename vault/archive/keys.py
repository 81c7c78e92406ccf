"""Keys derived from a password, and the key file. See "Keys" in docs/format.md."""

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
USUAL_COST = 128 * MIB * 3
"""KiB times passes of the keys that packrat makes."""
COSTLY = 4
"""Multiple of the usual cost; a more expensive header may be forged, to keep a machine busy."""


class Derivation(msgspec.Struct, frozen=True):
    """Parameters of Argon2id (RFC 9106), which derives the master key from the password.

    The defaults are the RFC's second recommended parameters with twice the memory (in KiB).
    """

    salt: bytes
    memory: int = 128 * MIB
    passes: int = 3
    lanes: int = 4

    @property
    def cost(self) -> int:
        """KiB of memory times passes, which is proportional to the time of a derivation."""
        return self.memory * self.passes

    @property
    def is_costly(self) -> bool:
        """True if it costs far more than that of the keys that packrat makes."""
        return max(self.cost, self.memory * 3) > COSTLY * USUAL_COST

    def check(self, where: str) -> None:
        """Raise Damaged for parameters that no packrat wrote, before they cost memory."""
        if not (
            len(self.salt) == SALT_BYTES
            and 64 * MIB <= self.memory <= 4096 * MIB
            and 1 <= self.passes <= 16  # noqa: PLR2004 (the format's bounds)
            and 1 <= self.lanes <= 64  # noqa: PLR2004
        ):
            raise Damaged(where, "its key derivation parameters are out of bounds")

    def keys(self, password: str) -> Keys:
        """Derive the keys. This takes a good part of a second, on purpose.

        Raises:
            MemoryError: The machine does not have the memory that the parameters require.
        """
        from argon2.exceptions import HashingError
        from argon2.low_level import Type, hash_secret_raw

        secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
        try:
            master = hash_secret_raw(
                secret, self.salt, self.passes, self.memory, self.lanes, KEY_BYTES, Type.ID
            )
        except HashingError as error:
            raise MemoryError(
                f"the key cannot be derived with {self.memory // MIB} MiB of memory: {error}"
            ) from error
        return Keys(master, self)


@dataclass(frozen=True, repr=False)
class Keys:
    """Master key and the keys derived from it; it has no repr, so that no log shows them."""

    master: bytes
    derivation: Derivation

    @cached_property
    def key_id(self) -> bytes:
        """8 bytes that identify the key."""
        return _hkdf(self.master, b"", b"packrat key id", 8)

    @cached_property
    def naming_key(self) -> bytes:
        """Key of the chunk names."""
        return _hkdf(self.master, b"", b"packrat chunk", KEY_BYTES)

    def archive_key(self, archive_id: bytes) -> bytes:
        """Return the key that seals the frames of one archive."""
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
    """Read keys; raises KeyFileError if the file is missing, exposed or not a key file."""
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
        _make_folder(os.path.dirname(path) or ".")
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
        _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise KeyFileError(
            f"cannot write key file {path}: {error.strerror}",
            "encryption.key_file says where it goes; its folder must be writable",
        ) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _make_folder(path: str) -> None:
    """Create the folder of the key file, private and durable."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path) or "."
    _make_folder(parent)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    _sync_folder(parent)


def _sync_folder(path: str) -> None:
    """Make the entries of a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
