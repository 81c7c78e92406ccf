"""Derivation of keys from a password, and from other keys. See "Keys" in docs/format.md."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.errors import Damaged

KEY_BYTES = 32
SALT_BYTES = 16
MIB_IN_KIB = 1024
USUAL_COST = 128 * MIB_IN_KIB * 3
"""KiB times passes of the derivations that packrat makes."""
COSTLY = 4
"""Multiple of the usual cost; a more expensive header may be forged, to keep a machine busy."""


class Derivation(msgspec.Struct, frozen=True):
    """Parameters of Argon2id (RFC 9106), which derives a key from the password.

    The defaults are the RFC's second recommended parameters with twice the memory (in KiB).
    """

    salt: bytes
    memory: int = 128 * MIB_IN_KIB
    passes: int = 3
    lanes: int = 4

    @property
    def cost(self) -> int:
        """KiB of memory times passes, which is proportional to the time of a derivation."""
        return self.memory * self.passes

    @property
    def is_costly(self) -> bool:
        """True if it costs far more than the derivations that packrat makes."""
        return max(self.cost, self.memory * 3) > COSTLY * USUAL_COST

    def check(self, where: str) -> None:
        """Raise Damaged for parameters that no packrat wrote, before they cost memory."""
        if not (
            len(self.salt) == SALT_BYTES
            and 64 * MIB_IN_KIB <= self.memory <= 4096 * MIB_IN_KIB
            and 1 <= self.passes <= 16  # noqa: PLR2004 (the format's bounds)
            and 1 <= self.lanes <= 64  # noqa: PLR2004
        ):
            raise Damaged(where, "its key derivation parameters are out of bounds")

    def derive(self, password: str) -> bytes:
        """Return the 32 bytes derived from a password.

        This takes a good part of a second, on purpose.

        Raises:
            MemoryError: The machine does not have the memory that the parameters require.
        """
        from argon2.exceptions import HashingError
        from argon2.low_level import Type, hash_secret_raw

        secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")
        try:
            return hash_secret_raw(
                secret, self.salt, self.passes, self.memory, self.lanes, KEY_BYTES, Type.ID
            )
        except HashingError as error:
            raise MemoryError(
                f"the key cannot be derived with {self.memory // MIB_IN_KIB} MiB of memory: {error}"
            ) from error


@lru_cache(maxsize=256)
def hkdf(key: bytes, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """Return a key for one purpose, derived with HKDF-SHA256 (RFC 5869)."""
    return HKDF(SHA256(), length, salt or None, info).derive(key)
