"""Master key of a configuration, and the keys derived from it. See "Keys" in docs/format.md."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vault.archive.derivation import KEY_BYTES, Derivation, hkdf
from vault.archive.slots import PasswordSlot, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

COMMITMENT_BYTES = 32


@dataclass(frozen=True, repr=False)
class Keys:
    """Master key with the slots that wrap it; it has no repr, so that no log shows them."""

    master: bytes
    derived: bytes
    """Key derived from the password, which opens the first password slot."""
    slots: tuple[Slot, ...]

    @classmethod
    def create(
        cls,
        password: str,
        derivation: Derivation,
        random: Callable[[int], bytes] = os.urandom,
    ) -> Keys:
        """Create a new random master key that a password opens; takes as long as `derive`."""
        master, derived = random(KEY_BYTES), derivation.derive(password)
        return cls(master, derived, (PasswordSlot.make(derivation, derived, master),))

    def with_password(self, password: str, derivation: Derivation) -> Keys:
        """Return the same master key, which this password opens instead of the first one."""
        derived, old = derivation.derive(password), self.password_slot
        new = PasswordSlot.make(derivation, derived, self.master)
        return Keys(self.master, derived, tuple(new if s is old else s for s in self.slots))

    @property
    def password_slot(self) -> PasswordSlot:
        """The slot that the password opens."""
        return next(slot for slot in self.slots if isinstance(slot, PasswordSlot))

    @cached_property
    def commitment(self) -> bytes:
        """32 bytes that only this master key has."""
        return commitment_to(self.master)

    @property
    def key_id(self) -> bytes:
        """8 bytes that identify the key to people."""
        return self.commitment[:8]

    @cached_property
    def naming_key(self) -> bytes:
        """Key of the chunk names."""
        return hkdf(self.master, b"", b"packrat chunk")

    def archive_key(self, archive_id: bytes) -> bytes:
        """Return the key that seals the frames of one archive."""
        return hkdf(self.master, archive_id, b"packrat archive")

    def nonce_key(self, archive_id: bytes) -> bytes:
        """Return the key that makes the nonces of one archive."""
        return hkdf(self.master, archive_id, b"packrat nonce")


def commitment_to(master: bytes) -> bytes:
    """Return the commitment to a master key, which is in every header."""
    return hkdf(master, b"", b"packrat commitment", COMMITMENT_BYTES)
